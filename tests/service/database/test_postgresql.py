"""PostgreSQL: its outages, and what a service makes of them."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import text

from app.core.logs import LogSettings
from app.core.readiness import ReadinessSettings
from app.database.session import SessionDep
from app.database.settings import DatabaseSettings
from app.main import create_app
from app.settings import Settings
from tests.fixtures.database import run_sql
from tests.service.database.relay import Relay
from tests.service.database.routes import add_row_routes
from tests.service.database.sql import COUNT, ENDLESS, NAMES

# For what happens as soon as the machine gets round to it.
PATIENCE = 20.0


@pytest.fixture
def relay(server_url: str | None) -> Iterator[Relay]:
    """Put a relay in front of the server."""
    if server_url is None:
        pytest.skip("needs DATABASE_URL of a PostgreSQL server")
    parts = urlsplit(server_url)
    relay = Relay(parts.hostname or "127.0.0.1", parts.port or 5432)
    relay.up()
    yield relay
    relay.down()


@pytest.fixture
def relayed(settings: Settings, relay: Relay, seconds: float) -> Settings:
    """Return settings that reach the database through the relay."""
    parts = urlsplit(settings.database.effective_url)
    login = parts.netloc.rpartition("@")[0]
    netloc = f"{login}@127.0.0.1:{relay.port}" if login else f"127.0.0.1:{relay.port}"
    url = SecretStr(urlunsplit(parts._replace(netloc=netloc)))
    return replace(
        settings,
        database=DatabaseSettings(url=url, app_env="production", seconds=seconds),
        readiness=ReadinessSettings(ready_cache_seconds=0, ready_check_seconds=seconds / 2),
    )


@pytest.fixture
def client(relayed: Settings, rows: None) -> Iterator[TestClient]:
    """Start the service behind the relay."""
    service = create_app(relayed)
    add_row_routes(service)

    @service.get("/slow")
    async def slow(session: SessionDep) -> None:
        await session.execute(text(ENDLESS))

    @service.get("/names")
    async def names(session: SessionDep) -> list[str]:
        return list(await session.scalars(text(NAMES)))

    with TestClient(service) as client:
        yield client


def assert_unavailable(client: TestClient) -> None:
    """Requests that need the database are told to come back, whichever connection they get."""
    for _ in range(3):
        for response in (client.get("/count"), client.post("/insert")):
            assert response.status_code == 503, response.text
            assert response.headers["Retry-After"] == "1"
            assert response.json()["type"] == "urn:problem-type:unavailable"


def test_outage_and_recovery(client: TestClient, relay: Relay) -> None:
    """
    Connections that break under the pool are 503 at worst; afterwards everything works at once.
    """
    assert client.get("/count").json() == 0
    relay.down()
    assert_unavailable(client)
    ready = client.get("/ready")
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"]["reason"] == "refused"
    relay.up()
    assert client.get("/ready").status_code == 200
    assert client.post("/insert").status_code == 200
    assert client.get("/count").json() == 1


def test_restart_is_not_noticed(client: TestClient, relay: Relay) -> None:
    """A database that went and came between two requests costs none of them."""
    assert client.get("/count").status_code == 200
    relay.down()
    relay.up()
    assert client.get("/count").status_code == 200


@pytest.mark.parametrize("seconds", [2.0])
def test_silent_network(client: TestClient, relay: Relay) -> None:
    """When nothing comes back, requests end in time, and afterwards everything works."""
    assert client.get("/count").status_code == 200
    relay.frozen.set()
    # In the time of a statement: at the deadline of the request it would be a 504.
    assert client.get("/count").status_code == 503
    ready = client.get("/ready")
    assert ready.json()["checks"]["database"] == {
        "status": "down",
        "required": True,
        "reason": "timeout",
    }
    relay.down()
    relay.up()
    assert client.get("/count").status_code == 200


def test_connection_lost_in_a_statement(client: TestClient, relay: Relay) -> None:
    """A request whose connection breaks under it is a 503."""
    client.get("/count")
    with ThreadPoolExecutor() as threads:
        pending = threads.submit(client.get, "/slow")
        wait_until_busy(client)
        relay.down()
        assert pending.result(PATIENCE).status_code == 503
    relay.up()
    assert client.get("/count").status_code == 200


def wait_until_busy(client: TestClient) -> None:
    """Wait until a statement runs on a connection."""
    pool = client.app_state["database"].engine.pool
    end = time.monotonic() + PATIENCE
    while pool.checkedout() == 0:
        assert time.monotonic() < end
        client.get("/health")


@pytest.mark.parametrize("change", ["login", "database"])
def test_wrong_login_or_database(relayed: Settings, change: str) -> None:
    """A fault that only the operator can repair is an outage to clients, and the log names it."""
    parts = urlsplit(relayed.database.effective_url)
    if change == "login":
        parts = parts._replace(netloc=f"nobody_here:x@{parts.netloc.rpartition('@')[2]}")
    else:
        parts = parts._replace(path="/nothing_here")
    url = SecretStr(urlunsplit(parts))
    database = relayed.database.model_copy(update={"url": url})
    service = create_app(replace(relayed, database=database))

    @service.get("/count")
    async def count(session: SessionDep) -> int:
        return int(await session.scalar(text(COUNT)) or 0)

    with TestClient(service) as client:
        response = client.get("/count")
        assert response.status_code == 503
        assert "nobody_here" not in response.text


def test_capacity_is_reported(
    settings: Settings,
    server_url: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """More connections than the server grants are a warning at start."""
    if server_url is None:
        pytest.skip("needs DATABASE_URL of a PostgreSQL server")
    monkeypatch.setenv("WEB_CONCURRENCY", "100000")
    settings = replace(settings, logs=LogSettings(log_format="json"))
    lines: list[dict[str, object]] = []
    with TestClient(create_app(settings)) as client:
        end = time.monotonic() + PATIENCE
        while not lines and time.monotonic() < end:
            client.get("/health")
            said = capfd.readouterr().err.splitlines()
            lines = [json.loads(line) for line in said if "more connections" in line]
    assert lines[0]["level"] == "warning"
    assert lines[0]["during_a_deploy"] == 2 * 100_000 * settings.database.connections


def test_a_changed_table_is_no_bug(client: TestClient, database_url: str) -> None:
    """A migration under running workers costs a request a second try, and says so."""
    assert client.post("/insert").status_code == 200
    assert client.get("/names").json() == ["written"]
    run_sql(database_url, "ALTER TABLE test_rows ALTER name TYPE text")
    statuses = [client.get("/names").status_code for _ in range(5)]
    # Only the connection that had prepared the statement is affected, whenever its turn comes.
    assert sorted(statuses) == [200, 200, 200, 200, 503]
