"""The database: that it answers, and that it has room for two generations of workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from release import runs, transient
from release.doctor import Finding, fail, ok, warn
from release.machine import Machine

TITLE = "database"

# A deploy starts the new workers before the old ones stop.
GENERATIONS = 2

# Run by the release as the service, with what it connects with.
QUESTION = """
import asyncio, json, sys
from app.database.engine import open_engine
from app.database.settings import load_database_settings

async def ask():
    settings = load_database_settings()
    engine = open_engine(settings)
    try:
        async with engine.connect() as connection:
            return settings, await connection.run_sync(settings.backend.connection_limit)
    finally:
        await engine.dispose()

try:
    settings, limit = asyncio.run(ask())
except Exception as error:
    sys.exit(str(getattr(error, "orig", None) or error))
print(json.dumps({"each": settings.connections, "limit": limit}))
"""


def check(machine: Machine) -> Iterator[Finding]:
    """Ask the database, through the running release."""
    run = runs.current(machine)
    if run is None:
        return
    command = transient.command(machine, run.number, ["python", "-c", QUESTION])
    done = machine.shell.ask(command)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield fail(f"it does not answer: {said}", "is it running, and is DATABASE_URL right?")
        return
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    yield ok("it answers")
    if answer["limit"] is not None:
        yield judge(answer["each"], workers(machine, run.number), answer["limit"])


def judge(each: int, workers: int, limit: int) -> Finding:
    """Compare what a deploy may open with what the database grants."""
    wanted = GENERATIONS * workers * each
    text = (
        f"a deploy may open {wanted} connections ({GENERATIONS} × {workers} workers × {each}), "
        f"of {limit} that the database grants"
    )
    if wanted > limit:
        return warn(text, "lower DATABASE_POOL_SIZE or WEB_CONCURRENCY, or raise the limit")
    return ok(text)


def workers(machine: Machine, run: int) -> int:
    """Count the workers of a run: the children of its main process."""
    pid = machine.systemd.show(machine.unit(run), "MainPID")["MainPID"]
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return max(len(children.read_text().split()), 1)
    except OSError:
        return 1
