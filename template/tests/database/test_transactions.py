"""The session of a request is one transaction: all of it is committed, or nothing."""

import asyncio
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from app.core.problems import Conflict
from app.core.service import Service
from app.database.session import Database, SessionDep
from app.main import create_app
from app.settings import Settings
from tests.fixtures.database import run_sql

pytestmark = pytest.mark.anyio

INSERT = text("INSERT INTO test_rows (name) VALUES ('written')")
COUNT = text("SELECT count(*) FROM test_rows")


@pytest.fixture(autouse=True)
def rows(database_url: str) -> Iterator[None]:
    """Make a table that belongs to no feature."""
    run_sql(database_url, "CREATE TABLE test_rows (name VARCHAR(40) NOT NULL UNIQUE)")
    yield
    run_sql(database_url, "DROP TABLE test_rows")


@pytest.fixture
def service(settings: Settings) -> Service:
    """Add endpoints that write, and then do or do not succeed."""
    service = create_app(settings)

    @service.post("/write")
    async def write(session: SessionDep) -> None:
        await session.execute(INSERT)

    @service.post("/conflict")
    async def conflict(session: SessionDep) -> None:
        await session.execute(INSERT)
        raise Conflict("no")

    @service.post("/bug")
    async def bug(session: SessionDep) -> None:
        await session.execute(INSERT)
        raise RuntimeError

    @service.post("/failing-commit")
    async def failing_commit(session: SessionDep) -> str:
        await session.execute(INSERT)

        @event.listens_for(session.sync_session, "before_commit")
        def fail(session: object) -> None:
            raise RuntimeError

        return "done"

    return service


async def count(database: Database) -> int:
    """Count rows in a transaction of its own."""
    async with database.session(read_only=True) as session:
        return int(await session.scalar(COUNT) or 0)


@pytest.mark.parametrize(
    ("path", "status", "rows_after"),
    [("/write", 200, 1), ("/conflict", 409, 0), ("/bug", 500, 0), ("/failing-commit", 500, 0)],
)
async def test_commits_only_what_succeeds(
    client: TestClient, database: Database, path: str, status: int, rows_after: int
) -> None:
    """
    An endpoint that raises, and a commit that fails, are told to the client and leave nothing.
    """
    response = await asyncio.to_thread(client.post, path)
    assert response.status_code == status
    assert await count(database) == rows_after


async def test_a_session_outside_of_a_request(database: Database) -> None:
    """The block of a session is a transaction too."""

    async def write_and_fail() -> None:
        async with database.session() as session:
            await session.execute(INSERT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await write_and_fail()
    assert await count(database) == 0
    async with database.session() as session:
        await session.execute(INSERT)
    assert await count(database) == 1
