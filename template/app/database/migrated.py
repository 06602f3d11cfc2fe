"""Whether the database was ever migrated."""

from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.database.errors import condition_of
from app.database.session import Database

logger = structlog.stdlib.get_logger(__name__)


class NotMigrated(Exception):
    """The tables are not there."""


class Migrated:
    """
    Asks until the answer is yes; nobody takes it back while the service runs.

    A release whose URL leads to an empty database would answer every request with an error, and
    deploys go by `/ready`. What is asked is whether there is any version, not which. During a
    deploy the database is newer than the old release, which must stay ready; and a release that
    came before its migration still serves what it did not change.
    """

    def __init__(self, versions: Path) -> None:
        """A service without migrations needs none."""
        self._known = not any(versions.glob("*.py"))
        self._told = False

    async def require(self, database: Database) -> None:
        """Ask the database something; raises NotMigrated, or what the database raises."""
        if self._known:
            # Slow queries of its own must not take a service out of the load balancing, and all
            # others of its kind with it.
            if not database.is_busy():
                await _ask(database, "SELECT 1")
            return
        try:
            version = await _ask(database, "SELECT version_num FROM alembic_version LIMIT 1")
            self._known = version is not None
        except DBAPIError as error:
            condition = condition_of(error)
            if condition == "unavailable":
                raise
            if condition != "absent":
                # The table exists and this user may not read it: somebody else migrates, and has.
                await _ask(database, "SELECT 1")
                self._known = True
        if not self._known:
            # Once: probes come every few seconds.
            if not self._told:
                self._told = True
                logger.error("the database is not migrated: run make migrate")
            raise NotMigrated


async def _ask(database: Database, statement: str) -> Any:
    """Run one query, through the pool, as requests do."""
    async with database.session(read_only=True) as session:
        return await session.scalar(text(statement))
