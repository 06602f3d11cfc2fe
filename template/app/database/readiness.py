"""Readiness of the database: it was ever migrated, and all workers together fit into it."""

import asyncio
import os
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.database.errors import condition_of
from app.database.session import Database

logger = structlog.stdlib.get_logger(__name__)

# A deploy starts the new workers before the old ones stop.
GENERATIONS = 2


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


async def report_capacity(database: Database) -> None:
    """
    Log, once at start, how many connections the service may open and how many the database grants.

    The app does not know how it is served, so the number of workers is WEB_CONCURRENCY, which
    servers read or, as ours does, tell their workers; or else the number of CPUs, which is the
    usual default. Several machines have to be multiplied by hand. Never raises and never delays the
    start: the database may be away.
    """
    settings = database.settings
    try:
        async with asyncio.timeout(2 * settings.seconds), database.engine.connect() as connection:
            limit = await connection.run_sync(settings.backend.connection_limit)
    except Exception as error:
        logger.warning(
            "the database is unavailable; started without it",
            database=settings.backend.display(settings.effective_url),
            reason=str(getattr(error, "orig", error)),
        )
        return
    if limit is None:
        return
    workers = count_workers()
    wanted = GENERATIONS * workers * settings.connections
    log = logger.warning if wanted > limit else logger.info
    log(
        "more connections than the database grants" if wanted > limit else "database connections",
        per_worker=settings.connections,
        workers=workers,
        during_a_deploy=wanted,
        limit=limit,
    )


def count_workers() -> int:
    """Return how many workers this machine probably runs."""
    configured = os.environ.get("WEB_CONCURRENCY", "")
    if configured.isdigit() and int(configured) > 0:
        return int(configured)
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _ask(database: Database, statement: str) -> Any:
    """Run one query, through the pool, as requests do."""
    async with database.session(read_only=True) as session:
        return await session.scalar(text(statement))
