"""In development the service migrates its database itself. Nothing here runs in production."""

import asyncio
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import DBAPIError

from app.database.errors import condition_of
from app.database.settings import PROJECT, DatabaseSettings

logger = structlog.stdlib.get_logger(__name__)


async def migrate(settings: DatabaseSettings) -> None:
    """
    Bring the database up to date, and say so: the first line of the log.

    Only a database on this machine: somebody who debugs with the URL of a shared one must not change it by starting the
    service. Tolerates a database that is away; raises when a migration fails, because nothing would work.
    """
    where = settings.backend.display(settings.effective_url)
    kind = "embedded" if settings.is_embedded else settings.backend.name
    if not settings.backend.is_local(settings.effective_url):
        logger.warning("development mode; remote database: not migrated", kind=kind, database=where)
        return
    logger.info("development mode; the database is migrated now", kind=kind, database=where)
    # Alembic tells what it loads; of interest is only what it changes.
    for noisy in ("alembic.runtime.plugins", "alembic.ddl", "alembic.autogenerate"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        # Alembic is synchronous and imports every migration: a thread keeps the event loop free.
        await asyncio.to_thread(_migrate_alone, settings)
    except DBAPIError as error:
        if condition_of(error) != "unavailable":
            raise
        logger.warning("the database is away: not migrated")


def _migrate_alone(settings: DatabaseSettings) -> None:
    # Here, because production has no use for it and should not pay for the import.
    from alembic import command
    from alembic.config import Config

    config = Config(PROJECT / "alembic.ini")
    config.attributes["settings"] = settings
    with _lock():
        command.upgrade(config, "head")


@contextmanager
def _lock() -> Iterator[None]:
    """Let the workers of this machine migrate one after the other; the kernel lets go when a process dies."""
    directory = PROJECT / "var"
    directory.mkdir(exist_ok=True)
    with (directory / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
