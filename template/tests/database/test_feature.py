"""The database as a feature of the service: with and without a database behind it."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core.logs import LogSettings
from app.core.readiness import ReadinessSettings
from app.core.service import Service
from app.database.capacity import count_workers
from app.database.development import migrate
from app.database.session import SessionDep
from app.database.settings import DatabaseSettings
from app.main import create_app
from app.settings import Settings
from tests.database.sql import COUNT, INSERT
from tests.fixtures.database import alembic_config, run_sql


def with_routes(service: Service) -> Service:
    """Add routes that use the table of the tests."""

    @service.get("/count")
    async def count(session: SessionDep) -> int:
        return int(await session.scalar(text(COUNT)) or 0)

    @service.post("/insert")
    async def insert(session: SessionDep) -> None:
        await session.execute(text(INSERT))

    @service.get("/bug")
    async def bug(session: SessionDep) -> None:
        await session.execute(text("SELECT tiger FROM absent"))

    return service


def test_starts_without_its_database_and_recovers(tmp_path: Path) -> None:
    """With the database away the service starts, says so, answers 503, and works when it is there."""
    url = f"sqlite:///{tmp_path / 'later' / 'data.db'}"
    settings = replace(
        Settings(),
        database=DatabaseSettings(url=SecretStr(url), app_env="production"),
        readiness=ReadinessSettings(ready_cache_seconds=0),
    )
    with TestClient(with_routes(create_app(settings))) as client:
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"]["status"] == "down"
        assert str(tmp_path) not in ready.text
        assert client.get("/health").status_code == 200
        for response in (client.get("/count"), client.post("/insert")):
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
            assert response.json()["type"] == "urn:problem-type:unavailable"
            assert str(tmp_path) not in response.text

        command.upgrade(alembic_config(url), "head")
        run_sql(url, "CREATE TABLE test_rows (name VARCHAR(40))")

        assert client.get("/ready").status_code == 200
        assert client.post("/insert").status_code == 200
        assert client.get("/count").json() == 1


@pytest.mark.usefixtures("rows")
def test_unhandled_conflict(service: Service) -> None:
    """A duplicate that no service foresaw is a conflict, and tells nothing of the tables."""
    with TestClient(with_routes(service)) as client:
        assert client.post("/insert").status_code == 200
        response = client.post("/insert")
        assert response.status_code == 409
        assert response.json()["type"] == "urn:problem-type:conflict"
        assert "test_rows" not in response.text
        assert client.get("/count").json() == 1


def test_wrong_sql_is_a_bug(service: Service) -> None:
    """What is wrong with the code is a 500 that tells nothing, not an outage."""
    with TestClient(with_routes(service), raise_server_exceptions=False) as client:
        response = client.get("/bug")
    assert response.status_code == 500
    assert "tiger" not in response.text


def test_development_migrates_first_and_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In development the first line of the log names the database, which is migrated before it is used."""
    path = tmp_path / "new" / "development.db"
    settings = replace(
        Settings(),
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{path}")),
        logs=LogSettings(log_format="json"),
    )
    with TestClient(create_app(settings)) as client:
        assert client.get("/ready").status_code == 200
    first = json.loads(capfd.readouterr().err.splitlines()[0])
    assert first["event"].startswith("development mode")
    assert first["database"] == str(path)
    command.check(alembic_config(f"sqlite:///{path}"))


def test_production_migrates_nothing(tmp_path: Path) -> None:
    """In production migrations are a step of the deploy."""
    path = tmp_path / "data.db"
    database = DatabaseSettings(url=SecretStr(f"sqlite:///{path}"), app_env="production")
    with TestClient(create_app(replace(Settings(), database=database))) as client:
        assert client.get("/ready").status_code == 200
    run_sql(f"sqlite:///{path}", "CREATE TABLE alembic_version (n INTEGER)")


def test_a_failed_migration_stops_development(tmp_path: Path) -> None:
    """A database that the migrations do not fit is not served."""
    settings = DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path / 'data.db'}"))
    asyncio.run(migrate(settings))
    (tmp_path / "data.db").write_bytes(b"not a database" * 100)
    with pytest.raises(DBAPIError, match="not a database"):
        asyncio.run(migrate(settings))


@pytest.mark.parametrize("value", ["3", "", "0", "many", None])
def test_number_of_workers(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """WEB_CONCURRENCY counts when it is a number, else the CPUs."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    if value is not None:
        monkeypatch.setenv("WEB_CONCURRENCY", value)
    assert count_workers() == 3 if value == "3" else 1 <= count_workers() <= (os.cpu_count() or 1)
