"""In development the service migrates its database itself. Nothing here runs in production."""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import DBAPIError

from app.database.errors import condition_of
from app.database.migration_logs import quieten
from app.database.settings import PROJECT, DatabaseSettings

logger = structlog.stdlib.get_logger(__name__)


class MigrationRefused(Exception):
    """
    The migrations and the database do not fit together; nothing was changed.

    `operator_message` is complete by itself: a server may print it without a traceback.
    """

    def __init__(self, message: str) -> None:
        self.operator_message = message
        super().__init__(message)


async def migrate(settings: DatabaseSettings) -> None:
    """
    Bring the database up to date, and say so.

    Only a database on this machine: somebody who debugs with the URL of a shared one must not
    change it by starting the service. Tolerates a database that is away; raises when a migration
    fails, because nothing would work, and MigrationRefused when none can be made.
    """
    where = settings.backend.display(settings.effective_url)
    kind = "embedded" if settings.is_embedded else settings.backend.name
    if not settings.backend.is_local(settings.effective_url):
        logger.warning("development mode; remote database: not migrated", kind=kind, database=where)
        return
    logger.info("development mode; the database is migrated now", kind=kind, database=where)
    quieten()
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
    from alembic.util import CommandError

    config = Config(PROJECT / "alembic.ini")
    config.attributes["settings"] = settings
    try:
        with _lock():
            command.upgrade(config, "head")
    except CommandError as error:
        raise MigrationRefused(str(error)) from None


@contextmanager
def _lock() -> Iterator[None]:
    """
    Let the workers of this machine migrate one after the other; the kernel lets go when a process
    dies.
    """
    directory = PROJECT / "var"
    directory.mkdir(exist_ok=True)
    with (directory / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
