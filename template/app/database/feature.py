"""The database as a feature."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypedDict

from fastapi import APIRouter, FastAPI
from sqlalchemy.exc import DBAPIError, TimeoutError

from app.core.feature import Feature
from app.database.development import migrate
from app.database.errors import handle_database_error, handle_pool_timeout
from app.database.readiness import Migrated, report_capacity
from app.database.session import Database
from app.database.settings import PROJECT, DatabaseSettings

VERSIONS = PROJECT / "migrations" / "versions"


class State(TypedDict):
    """The part of `request.state` that the lifespan adds."""

    database: Database
    migrated: Migrated


def database(settings: DatabaseSettings) -> Feature:
    """Offer `request.state.database`, and sessions by `SessionDep`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        # Starts with the database away as well as with it: readiness tells, requests get 503, and
        # nothing has to be restarted when it returns.
        if not settings.is_production:
            await migrate(settings)
        # In a thread because it imports the driver; it connects to nothing.
        database = await asyncio.to_thread(Database, settings)
        migrated = await asyncio.to_thread(Migrated, VERSIONS)
        report = asyncio.create_task(report_capacity(database))
        try:
            yield {"database": database, "migrated": migrated}
        finally:
            # A connection that is being opened is not cut off at once: the thread of SQLite's
            # driver would speak to an event loop that is gone.
            await asyncio.wait({report}, timeout=1)
            report.cancel()
            with suppress(asyncio.CancelledError):
                await report
            await database.close()

    return Feature(
        name="database",
        router=APIRouter(lifespan=lifespan),
        check=check,
        required=True,
        exception_handlers={
            DBAPIError: handle_database_error,
            TimeoutError: handle_pool_timeout,
        },
    )


async def check(state: Mapping[str, Any]) -> None:
    """Pass when the database answers and was migrated."""
    migrated: Migrated = state["migrated"]
    await migrated.require(state["database"])
