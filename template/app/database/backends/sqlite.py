"""SQLite: one file, one writer at a time."""

import asyncio
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.engine.interfaces import ExceptionContext

from app.database.backends.base import Backend, Condition

# Set by sessions that only read: see `begin`.
READ_ONLY = "sqlite_read_only"

# How many steps of SQLite's virtual machine pass between two looks at the clock: about a
# millisecond, and no measurable cost.
_STEPS = 100_000

# Primary result codes (the low byte of the extended one) that say "not now" or "not on this disk".
_UNAVAILABLE = {
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_INTERRUPT",
    "SQLITE_IOERR",
    "SQLITE_FULL",
    "SQLITE_CANTOPEN",
    "SQLITE_READONLY",
}
_CONFLICT = {
    "SQLITE_CONSTRAINT_UNIQUE",
    "SQLITE_CONSTRAINT_PRIMARYKEY",
    "SQLITE_CONSTRAINT_FOREIGNKEY",
}


class Sqlite(Backend):
    """SQLite through aiosqlite, which gives each connection a thread."""

    name = "sqlite"
    schemes = frozenset({"sqlite", "sqlite+aiosqlite"})

    def check_url(self, url: str) -> None:
        """Refuse databases in memory: every connection of the pool would have its own."""
        name = make_url(url).database
        if not name or name.startswith((":memory:", "file:")):
            raise ValueError("names no file; for example sqlite:////var/lib/my-service/data.db")

    def engine_arguments(
        self, url: str, seconds: float | None, name: str
    ) -> tuple[URL, dict[str, Any]]:
        """Return the URL with its asynchronous driver, and no arguments."""
        return make_url(url).set(drivername="sqlite+aiosqlite"), {}

    def listen(self, engine: Engine, seconds: float | None) -> None:
        """Set up each connection, take over transactions, bound each statement."""

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, record: Any) -> None:
            # The driver would begin transactions late and not at all before a SELECT or DDL;
            # `begin` does it instead.
            connection.isolation_level = None
            cursor = connection.cursor()
            # How long to wait for the one writer to finish, first: the next line may have to.
            cursor.execute(f"PRAGMA busy_timeout = {int((seconds or 60) * 1000)}")
            # Readers and the writer do not block each other. A property of the file, set again at
            # no cost.
            cursor.execute("PRAGMA journal_mode = WAL")
            # With NORMAL a power cut cannot corrupt the file either, but can lose the last commits,
            # of which clients have been told. FULL loses none, at the cost of a sync per commit.
            cursor.execute("PRAGMA synchronous = FULL")
            # SQLite enforces foreign keys only where it is told to. Not in migrations, which
            # rebuild tables: see `check_migrations`.
            cursor.execute(f"PRAGMA foreign_keys = {'ON' if seconds else 'OFF'}")
            cursor.close()
            if seconds:
                clock = record.info["statement"] = _Clock(seconds)
                connection.run_async(
                    lambda driver: driver.set_progress_handler(clock.is_over, _STEPS)
                )

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A transaction that reads first and writes later fails at once, whatever the busy
            # timeout, if somebody else wrote in between. So those that may write queue up for the
            # right to write before they read.
            read_only = connection.get_execution_options().get(READ_ONLY, False)
            connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

        if seconds:

            @event.listens_for(engine, "before_cursor_execute")
            def start_clock(connection: Connection, *_: Any) -> None:
                connection.connection.info["statement"].start()

            @event.listens_for(engine, "handle_error")
            def give_up(context: ExceptionContext) -> None:
                if not isinstance(context.original_exception, asyncio.CancelledError):
                    return
                # A cancelled request stops waiting, but its statement runs on in the thread of the
                # connection, with its lock: end it.
                if context.connection is not None:
                    context.connection.connection.info["statement"].stop()
                # And keep the connection, for the rollback: closing it instead would leave the
                # transaction, and the lock, to the garbage collector. Nothing is out of step, as it
                # could be on a network.
                context.is_disconnect = False

    def condition(self, error: BaseException) -> Condition | None:
        """Classify by SQLite's result code."""
        name: str = getattr(error, "sqlite_errorname", "")
        if name in _CONFLICT:
            return "conflict"
        # It has no code of its own.
        if name == "SQLITE_ERROR" and str(error).startswith("no such table"):
            return "absent"
        return "unavailable" if "_".join(name.split("_")[:2]) in _UNAVAILABLE else None

    def is_local(self, url: str) -> bool:
        """Return True: it is a file."""
        return True

    def display(self, url: str) -> str:
        """Return the path of the file."""
        return str(make_url(url).database)

    def create(self, url: str) -> None:
        """Make the directory of the file; SQLite makes the file."""
        Path(self.display(url)).parent.mkdir(parents=True, exist_ok=True)

    def check_migrations(self, connection: Connection) -> None:
        """
        Look for references to rows that are gone.

        Altering a table on SQLite means building a new one and dropping the old; with foreign keys
        enforced, the drop would delete what refers to it. So they are off meanwhile and checked
        here, before the commit.
        """
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if broken:
            tables = ", ".join(sorted({str(row[0]) for row in broken}))
            raise RuntimeError(f"the migration leaves rows that refer to nothing, in: {tables}")


class _Clock:
    """When the statement that is running has to be over. Read in the thread of the connection."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.end = float("inf")

    def start(self) -> None:
        self.end = time.monotonic() + self.seconds

    def stop(self) -> None:
        self.end = 0

    def is_over(self) -> bool:
        return time.monotonic() > self.end


BACKEND = Sqlite()
