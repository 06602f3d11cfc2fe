"""Whether all workers together fit into the database."""

import asyncio
import os

import structlog

from app.database.session import Database

logger = structlog.stdlib.get_logger(__name__)

# A deploy starts the new workers before the old ones stop.
GENERATIONS = 2


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
