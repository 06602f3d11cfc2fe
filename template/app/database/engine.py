"""The engine: a pool of connections, opened when they are needed."""

from typing import Any

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.database.backends import APPLICATION_NAME
from app.database.settings import DatabaseSettings

# Half an hour. Long-lived connections collect memory on the server, stick to the old primary after
# a failover, and outlive a changed password; firewalls forget idle ones without telling, and
# whoever uses one then waits a full time-out to find that out.
RECYCLE_SECONDS = 1800


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
