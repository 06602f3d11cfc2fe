"""Sessions: one per request, committed before the response is sent; and the engines below them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import structlog
from fastapi import Depends
from sqlalchemy import NullPool, QueuePool, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from starlette.requests import HTTPConnection

from app.database.backends import APPLICATION_NAME
from app.database.backends.sqlite import READ_ONLY
from app.database.settings import DatabaseSettings

logger = structlog.stdlib.get_logger(__name__)

# Methods that change nothing (RFC 9110). WebSockets have none, and may write.
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

# Half an hour. Long-lived connections collect memory on the server, stick to the old primary after
# a failover, and outlive a changed password; firewalls forget idle ones without telling, and
# whoever uses one then waits a full time-out to find that out.
RECYCLE_SECONDS = 1800


class Database:
    """The open database of this process; `request.state.database`."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Connect to nothing yet: the first session does."""
        self.settings = settings
        self.engine = open_engine(settings)
        self._reading = self.engine.execution_options(**{READ_ONLY: True})
        self._answered = float("-inf")
        event.listen(self.engine.sync_engine, "checkin", self._note)

    def is_busy(self) -> bool:
        """
        Tell whether all connections are in use, and came back with an answer a moment ago.

        Who waits for one then waits for the others, and the wait says nothing about the database:
        one that lives ends every statement within DATABASE_SECONDS.
        """
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        is_full = pool.checkedout() >= self.settings.connections
        return is_full and time.monotonic() - self._answered < self.settings.seconds + 1

    @asynccontextmanager
    async def session(self, *, read_only: bool = False) -> AsyncIterator[AsyncSession]:
        """
        Open a session around one transaction: committed at the end, rolled back when anything is
        raised.

        Whatever happens, also when the request is cancelled in the middle of a statement, the
        connection goes back to the pool without a transaction, or is closed. `read_only` is a
        promise that SQLite uses to let readers pass the writer; nothing enforces it.

        For use outside a request, and in a response that streams after the session of its request
        has ended.
        """
        engine = self._reading if read_only else self.engine
        # Objects stay readable after the commit: the response is built from them, and expired ones
        # would need a query.
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session
            await session.commit()

    def _note(self, connection: Any, record: Any) -> None:
        # One that was given up comes back as None; any other has just ended its transaction.
        if connection is not None:
            self._answered = time.monotonic()

    async def close(self) -> None:
        """Close the pool, in at most the time a statement may take."""
        try:
            async with asyncio.timeout(self.settings.seconds):
                await self.engine.dispose()
        except TimeoutError:
            logger.warning("the database did not close its connections in time")


async def get_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """Open the session of a request."""
    database: Database = connection.state.database
    read_only = connection.scope.get("method") in _SAFE_METHODS
    async with database.session(read_only=read_only) as session:
        yield session


# `scope="function"` ends the session when the endpoint has returned and before the first byte of
# the response: a client is never told of something that then fails to commit, and a slow client
# holds no connection.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]


def open_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Make the engine that serves requests. Connects to nothing yet."""
    return _engine(
        settings,
        settings.seconds,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        # A request that waits longer for a connection is answered 503 instead of piling up.
        pool_timeout=settings.seconds,
        pool_recycle=RECYCLE_SECONDS,
    )


def open_migration_engine(settings: DatabaseSettings) -> AsyncEngine:
    """
    Make an engine for migrations: one connection, whose statements may take as long as they take.
    """
    return _engine(settings, None, poolclass=NullPool)


def _engine(settings: DatabaseSettings, seconds: float | None, **pool: Any) -> AsyncEngine:
    backend = settings.backend
    url, arguments = backend.engine_arguments(settings.effective_url, seconds, APPLICATION_NAME)
    # Parameters are what users typed: they stay out of errors and logs.
    engine = create_async_engine(url, connect_args=arguments, hide_parameters=True, **pool)
    backend.listen(engine.sync_engine, seconds)
    return engine
