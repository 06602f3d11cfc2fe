"""
One session per request: what a client was told is committed, and no connection is ever kept.
"""

import asyncio
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import Message, Receive, Scope, Send

from app.core.service import Service
from app.database.session import Database, SessionDep
from app.database.settings import DatabaseSettings
from app.main import create_app
from app.settings import Settings
from tests.service.database.sql import COUNT, ENDLESS, INSERT

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("rows")]


async def count(database: Database) -> int:
    """Count rows in a transaction of its own."""
    async with database.session(read_only=True) as session:
        return int(await session.scalar(text(COUNT)) or 0)


async def assert_usable(database: Database) -> None:
    """Nothing is checked out, and every connection of the pool can still write."""
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    for number in range(database.settings.connections):
        async with database.session() as session:
            await session.execute(text(f"INSERT INTO test_rows VALUES ('usable {number}')"))


@pytest.fixture
def settings(settings: Settings, seconds: float) -> Settings:
    """Keep the pool small."""
    url = SecretStr(settings.database.effective_url)
    database = DatabaseSettings(url=url, pool_size=1, max_overflow=1, seconds=seconds)
    return replace(settings, database=database)


@pytest.fixture
def service(settings: Settings) -> Service:
    """Add a route that is quick and one that never ends."""
    service = create_app(settings)

    @service.post("/write")
    async def write(session: SessionDep) -> None:
        await session.execute(text(INSERT))

    @service.post("/slow")
    async def slow(session: SessionDep) -> None:
        await session.execute(text(INSERT))
        await session.execute(text(ENDLESS))

    return service


async def test_commits_before_the_response_is_sent(service: Service, database: Database) -> None:
    """A change that a client was told of is already visible to everybody."""
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def look_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.append(await count(database))
            await send(message)

        await service({**scope, "state": {"database": database}}, receive, look_and_send)

    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        assert (await client.post("/write")).status_code == 200
    assert seen == [1]


async def run_and_cancel(database: Database, *statements: str, after: float = 0.1) -> None:
    """Cancel a session while it runs the last statement: it ends long before that one would."""
    running = asyncio.Event()

    async def run() -> None:
        async with database.session() as session:
            for statement in statements[:-1]:
                await session.execute(text(statement))
            running.set()
            await session.execute(text(statements[-1]))

    task = asyncio.create_task(run())
    await running.wait()
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(database.settings.seconds / 2):
            await task


async def test_cancelled_statement(database: Database) -> None:
    """A request that is cancelled gives its connection back at once, with nothing of it left."""
    for _ in range(database.settings.connections + 1):
        await run_and_cancel(database, INSERT, ENDLESS)
    assert await count(database) == 0
    await assert_usable(database)


async def test_cancelled_at_any_moment(database: Database) -> None:
    """
    Wherever a cancellation hits, all of a transaction is there or nothing, and the pool is whole.
    """

    async def run(number: int) -> None:
        async with database.session() as session:
            for half in "ab":
                name = f"{number}{half}"
                await session.execute(text(f"INSERT INTO test_rows VALUES ('{name}')"))

    for number in range(60):
        task = asyncio.create_task(run(number))
        for _ in range(number % 30):
            await asyncio.sleep(0)
        if number >= 30:
            await asyncio.sleep(number / 20_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await count(database) % 2 == 0
    await assert_usable(database)


# On a server the statement runs on for that long.
@pytest.mark.parametrize("seconds", [2.0])
async def test_cancelled_twice(database: Database) -> None:
    """Cancelling the clean-up too changes nothing."""

    async def run() -> None:
        async with database.session() as session:
            await session.execute(text(INSERT))
            await session.execute(text(ENDLESS))

    task = asyncio.create_task(run())
    await asyncio.sleep(0.1)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()
    await assert_usable(database)
    assert await count(database) == database.settings.connections


async def test_deadline_of_the_request(settings: Settings, database: Database) -> None:
    """A request that is cut by its deadline is a 504 and leaves neither a row nor a lock."""
    http = settings.http.model_copy(update={"request_seconds": 0.2})
    service = create_app(replace(settings, http=http))

    @service.post("/slow")
    async def slow(session: SessionDep) -> None:
        await session.execute(text(INSERT))
        await session.execute(text(ENDLESS))

    def post() -> int:
        with TestClient(service) as client:
            return client.post("/slow").status_code

    assert await asyncio.to_thread(post) == 504
    assert await count(database) == 0
    await assert_usable(database)


@pytest.mark.parametrize("seconds", [1.0])
async def test_a_statement_is_bounded(client: TestClient, database: Database) -> None:
    """
    A statement that takes longer than DATABASE_SECONDS ends in a 503, long before the deadline.
    """
    response = await asyncio.to_thread(client.post, "/slow")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.json()["type"] == "urn:problem-type:unavailable"
    assert await count(database) == 0


@pytest.mark.parametrize("seconds", [1.0])
async def test_exhausted_pool(settings: Settings) -> None:
    """A request that gets no connection in time is a 503; the next one that does is served."""
    service = create_app(settings)

    def use() -> None:
        with TestClient(service) as client:
            database: Database = client.app_state["database"]
            assert client.portal is not None
            held = [database.engine.connect() for _ in range(database.settings.connections)]
            for connection in held:
                client.portal.call(connection.start)
            response = client.get("/api/v1/rows")
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
            for connection in held:
                client.portal.call(connection.close)
            assert client.get("/api/v1/rows").status_code == 200

    @service.get("/api/v1/rows")
    async def rows(session: SessionDep) -> int:
        return int(await session.scalar(text(COUNT)) or 0)

    await asyncio.to_thread(use)


async def test_objects_outlive_the_commit(database: Database) -> None:
    """A response can be built from what a committed session has loaded."""
    async with database.session() as session:
        assert isinstance(session, AsyncSession)
        assert session.sync_session.expire_on_commit is False
