"""A pool in which everything is in use: is it the database, or are there many requests?"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.database.readiness import Migrated
from app.database.session import Database
from app.database.settings import PROJECT, DatabaseSettings
from app.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Keep the pool small."""
    url = SecretStr(settings.database.effective_url)
    return replace(
        settings, database=DatabaseSettings(url=url, pool_size=1, max_overflow=1, seconds=60)
    )


async def has_to_wait(database: Database, migrated: Migrated, seconds: float = 30) -> bool:
    """Ask as `/ready` does, with less patience than who waits for a connection."""
    try:
        async with asyncio.timeout(seconds):
            await migrated.require(database)
    except TimeoutError:
        return True
    return False


async def test_many_requests_are_no_outage(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While answers come in, a check does not queue; when none does, it is told to wait."""
    migrated = await asyncio.to_thread(Migrated, PROJECT / "migrations" / "versions")
    assert not await has_to_wait(database, migrated)
    assert not database.is_busy()
    async with AsyncExitStack() as stack:
        for _ in range(database.settings.connections):
            busy = await stack.enter_async_context(database.session(read_only=True))
            await busy.execute(text("SELECT 1"))
        assert database.is_busy()
        assert not await has_to_wait(database, migrated)
        passed = database.settings.model_copy(update={"seconds": -1.0})
        monkeypatch.setattr(database, "settings", passed)
        assert not database.is_busy()
        assert await has_to_wait(database, migrated, seconds=0.3)
    assert not database.is_busy()
    assert not await has_to_wait(database, migrated)


async def test_what_is_given_up_is_no_answer(database: Database) -> None:
    """A connection that is thrown away says nothing of the database."""
    async with AsyncExitStack() as stack:
        for _ in range(database.settings.connections):
            connection = await stack.enter_async_context(database.engine.connect())
        await connection.invalidate()
        await connection.close()
        await stack.enter_async_context(database.engine.connect())
        assert not database.is_busy()


async def test_a_database_that_was_never_migrated_is_not_ready(
    database: Database, tmp_path: Path
) -> None:
    """Being busy excuses from a question only who has had the answer to that one before."""
    (tmp_path / "0001_first.py").touch()
    migrated = await asyncio.to_thread(Migrated, tmp_path)
    async with database.session(read_only=True) as idle:
        await idle.execute(text("SELECT 1"))
    async with AsyncExitStack() as stack:
        for _ in range(database.settings.connections):
            busy = await stack.enter_async_context(database.session(read_only=True))
            await busy.execute(text("SELECT 1"))
        assert database.is_busy()
        assert await has_to_wait(database, migrated, seconds=0.3)
