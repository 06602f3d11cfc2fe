"""The settings of every connection to a file."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from app.database.errors import condition_of
from app.database.session import Database
from app.database.settings import DatabaseSettings
from tests.fixtures.database import run_sql

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path: Path) -> DatabaseSettings:
    """Return the settings of a new file with two tables."""
    url = f"sqlite:///{tmp_path / 'data.db'}"
    run_sql(
        url,
        "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
        "CREATE TABLE children (parent_id INTEGER REFERENCES parents (id))",
    )
    return DatabaseSettings(url=SecretStr(url), seconds=60)


async def test_foreign_keys_hold(settings: DatabaseSettings) -> None:
    """A reference to nothing is a conflict."""
    database = await asyncio.to_thread(Database, settings)
    with pytest.raises(IntegrityError) as caught:
        async with database.session() as session:
            await session.execute(text("INSERT INTO children VALUES (1)"))
    assert condition_of(caught.value) == "conflict"
    await database.close()


async def test_errors_hold_no_values(settings: DatabaseSettings) -> None:
    """Values that users typed stay out of errors, and so out of logs."""
    database = await asyncio.to_thread(Database, settings)
    with pytest.raises(IntegrityError) as caught:
        async with database.session() as session:
            await session.execute(text("INSERT INTO children VALUES (:id)"), {"id": "tiger"})
    assert "tiger" not in str(caught.value)
    await database.close()


async def test_readers_pass_the_writer(settings: DatabaseSettings) -> None:
    """While one writes others read, and see what was there before."""
    database = await asyncio.to_thread(Database, settings)
    count = text("SELECT count(*) FROM parents")
    async with database.session() as writer:
        await writer.execute(text("INSERT INTO parents VALUES (1)"))
        async with database.session(read_only=True) as reader:
            assert await reader.scalar(count) == 0
    async with database.session(read_only=True) as reader:
        assert await reader.scalar(count) == 1
    await database.close()


async def test_writers_queue(settings: DatabaseSettings) -> None:
    """Transactions that read and then write wait for each other, and none is lost."""
    database = await asyncio.to_thread(Database, settings)

    async def add() -> None:
        async with database.session() as session:
            highest = await session.scalar(text("SELECT coalesce(max(id), 0) FROM parents"))
            await session.execute(text(f"INSERT INTO parents VALUES ({highest} + 1)"))

    await asyncio.gather(*(add() for _ in range(20)))
    async with database.session(read_only=True) as session:
        assert await session.scalar(text("SELECT count(*) FROM parents")) == 20
    await database.close()


async def test_a_writer_waits_only_so_long(settings: DatabaseSettings) -> None:
    """Behind a writer that does not end, others are told the database is unavailable."""
    settings = settings.model_copy(update={"seconds": 0.5})
    database = await asyncio.to_thread(Database, settings)
    async with database.session() as writer:
        await writer.execute(text("INSERT INTO parents VALUES (1)"))
        with pytest.raises(OperationalError) as caught:
            async with database.session() as second:
                await second.execute(text("INSERT INTO parents VALUES (2)"))
    assert condition_of(caught.value) == "unavailable"
    await database.close()
