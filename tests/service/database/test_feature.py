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
from app.database.development import MigrationRefused, migrate
from app.database.readiness import count_workers
from app.database.session import Database, SessionDep
from app.database.settings import DatabaseSettings
from app.main import create_app
from app.settings import Settings
from tests.fixtures.database import alembic_config, run_sql
from tests.service.database.routes import add_row_routes


def with_routes(service: Service) -> Service:
    """Add routes that use the table of the tests."""
    add_row_routes(service)

    @service.get("/bug")
    async def bug(session: SessionDep) -> None:
        await session.execute(text("SELECT tiger FROM absent"))

    return service


def test_starts_without_its_database_and_recovers(tmp_path: Path) -> None:
    """
    With the database away the service starts, says so, answers 503, and works when it is there.
    """
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
    """A fault of the code is a 500 that tells nothing, not an outage."""
    with TestClient(with_routes(service), raise_server_exceptions=False) as client:
        response = client.get("/bug")
    assert response.status_code == 500
    assert "tiger" not in response.text


def test_development_migrates_first_and_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    In development the log names the database, which is migrated before it is used.
    """
    path = tmp_path / "new" / "development.db"
    settings = replace(
        Settings(),
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{path}")),
        logs=LogSettings(log_format="json"),
    )
    with TestClient(create_app(settings)) as client:
        assert client.get("/ready").status_code == 200
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert lines[0]["event"].startswith("development mode")
    assert lines[0]["database"] == str(path)
    assert not [line for line in lines if line["event"].startswith("Context impl")]
    command.check(alembic_config(f"sqlite:///{path}"))


def test_a_stop_right_after_the_start_cuts_nothing_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that is opened at the start is closed in good order."""
    leaving, ended = asyncio.Event(), asyncio.Event()

    async def report(database: Database) -> None:
        await leaving.wait()
        await asyncio.sleep(0.1)
        ended.set()

    monkeypatch.setattr("app.database.feature.report_capacity", report)
    with TestClient(create_app(settings)) as client:
        assert client.portal is not None
        client.portal.call(leaving.set)
    assert ended.is_set()


def in_production(url: str) -> Settings:
    """Return settings with which every probe asks the database anew."""
    return replace(
        Settings(),
        database=DatabaseSettings(url=SecretStr(url), app_env="production"),
        readiness=ReadinessSettings(ready_cache_seconds=0),
        logs=LogSettings(log_format="json"),
    )


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory of migrations of which there is one."""
    directory = tmp_path / "versions"
    directory.mkdir()
    (directory / "0001_first.py").touch()
    monkeypatch.setattr("app.database.feature.VERSIONS", directory)
    return directory


@pytest.mark.usefixtures("versions")
def test_production_waits_for_the_migration(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In production migrations are a step of the deploy, and nothing is ready before it."""
    url = f"sqlite:///{tmp_path / 'data.db'}"
    with TestClient(create_app(in_production(url))) as client:
        for statement in ("CREATE TABLE alembic_version (version_num VARCHAR(32))", "SELECT 1"):
            ready = client.get("/ready")
            assert ready.status_code == 503
            assert ready.json()["checks"]["database"]["reason"] == "error"
            run_sql(url, statement)
        # Newer than this code, or unknown to it.
        run_sql(url, "INSERT INTO alembic_version VALUES ('tomorrow')")
        assert client.get("/ready").status_code == 200
        # Not asked again: nobody takes a migration back under a running service.
        run_sql(url, "DELETE FROM alembic_version")
        assert client.get("/ready").status_code == 200
    assert capfd.readouterr().err.count("run make migrate") == 1


def test_without_migrations_nothing_is_waited_for(tmp_path: Path, versions: Path) -> None:
    """A service that has no migrations is ready on an empty database."""
    (versions / "0001_first.py").unlink()
    url = f"sqlite:///{tmp_path / 'data.db'}"
    with TestClient(create_app(in_production(url))) as client:
        assert client.get("/ready").status_code == 200


def test_a_missing_table_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A missing migration is named, without a traceback per request."""
    settings = in_production(f"sqlite:///{tmp_path / 'data.db'}")
    with TestClient(with_routes(create_app(settings))) as client:
        capfd.readouterr()
        assert client.get("/count").status_code == 500
        lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    told = [line for line in lines if "run make migrate" in line["event"]]
    assert [line["reason"] for line in told] == ["no such table: test_rows"]
    assert "Traceback" not in str(lines)


def test_a_database_ahead_of_the_code(tmp_path: Path) -> None:
    """A database that another branch has migrated stops the start, in words for the operator."""
    url = f"sqlite:///{tmp_path / 'data.db'}"
    run_sql(
        url,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('elsewhere')",
    )
    with pytest.raises(MigrationRefused) as refused:
        asyncio.run(migrate(DatabaseSettings(url=SecretStr(url))))
    message = refused.value.operator_message
    assert message.startswith(f"{tmp_path / 'data.db'} was migrated by code that is not here")


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
