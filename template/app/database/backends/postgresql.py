"""PostgreSQL through asyncpg."""

import re
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.engine.interfaces import Dialect, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError, OperationalError

from app.database.backends.base import Backend, Condition

# Parameters of libpq URLs that asyncpg does not know and would pass to the server as settings,
# which refuses them. They tune the client and can be left out; hosting companies put some of them
# into the URLs they hand out.
_CLIENT_ONLY = {
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
}
# Set to 0 in the URL when a PgBouncer older than 1.21 pools transactions.
_CACHE_SIZES = ("statement_cache_size", "prepared_statement_cache_size")

# SQLSTATE classes and codes (appendix A of PostgreSQL's manual) that say "not now": the server
# refuses, stops or is full, the login or the database is not there, a statement took too long, or
# two transactions met and one must try again.
_UNAVAILABLE_CLASSES = ("08", "28", "3D", "53", "57", "58", "40")
_UNAVAILABLE_CODES = ("55P03", "25006")  # a lock was not granted in time · a standby, read-only
_CONFLICT_CODES = ("23505", "23503", "23P01")  # unique · foreign key · exclusion

# A migration changed a table that this process has prepared statements for. They are dropped then,
# and the same request succeeds.
_OUTDATED = "InvalidCachedStatementError"

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_ENCODE = "cannot be read; in user and password, percent-encode / ? # [ ] @ and : (%2F for /)"

_ABSENT_CODE = "42P01"  # undefined table

# How long a connection that worked is trusted. What can go wrong within a second without the
# connection being closed, a cable, is no more likely than during the request itself.
TRUST_SECONDS = 1

# Any number that no other user of advisory locks in this database has: the letters "migrate".
_MIGRATION_LOCK = int.from_bytes(b"migrate")


class Postgresql(Backend):
    """PostgreSQL 12 and later."""

    name = "postgresql"
    schemes = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})

    def check_url(self, url: str) -> None:
        """
        Refuse what would be read differently than it was meant.

        A `/`, `?`, `#` or `[` in a password ends the part it stands in, and the rest of the
        password would be taken for a path and end up in logs.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError(_ENCODE) from None
        hosts = parts.netloc.rpartition("@")[2].split(",")
        if "@" in f"{parts.path}{parts.query}{parts.fragment}" or parts.fragment:
            raise ValueError(_ENCODE)
        if not all(re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]*)(:\d{1,5})?", h) for h in hosts):
            raise ValueError("has a host or port that is none; for example db.internal:5432")
        # Without one the server would guess the user's.
        if not parts.path.strip("/") and "dbname=" not in parts.query:
            raise ValueError("names no database; for example postgresql://user:password@host/name")
        query = dict(parse_qsl(parts.query))
        mode = query.get("sslmode", query.get("ssl", "prefer"))
        if mode not in _SSL_MODES:
            raise ValueError(f"has an unknown sslmode; it is one of {', '.join(_SSL_MODES)}")

    def engine_arguments(
        self, url: str, seconds: float | None, name: str
    ) -> tuple[URL, dict[str, Any]]:
        """
        Leave the URL to asyncpg, which reads it as libpq does.

        So `sslmode=`, certificates, several hosts, sockets and passfiles work as everywhere else.
        """
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if "ssl" in query:  # SQLAlchemy's own spelling
            query.setdefault("sslmode", query.pop("ssl"))
        arguments: dict[str, Any] = {
            name: int(query.pop(name)) for name in _CACHE_SIZES if name in query
        }
        query = {name: value for name, value in query.items() if name not in _CLIENT_ONLY}
        # The time for TCP, TLS and login together.
        arguments["timeout"] = seconds or 10
        settings = {"application_name": name}
        if seconds:
            # The server ends a statement in good order; a second later we give up on a server that
            # does not even answer.
            settings["statement_timeout"] = str(int(seconds * 1000))
            arguments["command_timeout"] = seconds + 1
        # What stands in the URL wins.
        arguments["server_settings"] = {k: v for k, v in settings.items() if k not in query}
        arguments["dsn"] = urlunsplit(
            ("postgresql", parts.netloc, parts.path, urlencode(query), "")
        )
        return URL.create("postgresql+asyncpg"), arguments

    def listen(self, engine: Engine, seconds: float | None) -> None:
        """
        Turn what the event loop raises into errors of the database, for one kind of error above
        this.
        """

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Dialect, record: Any, args: Any, kwargs: Any) -> Any:
            try:
                return dialect.connect(*args, **kwargs)
            except OSError as error:  # TimeoutError is one
                raise _operational_error(dialect, error) from _plain(error)

        @event.listens_for(engine, "handle_error")
        def translate(context: ExceptionContext) -> BaseException | None:
            error = context.original_exception
            if not isinstance(error, OSError):
                return None
            # Nobody knows what the server still does on this connection.
            context.is_disconnect = True
            # What a handler returns is raised as it is: SQLAlchemy wraps only errors of the driver.
            original = _operational_error(context.dialect, error)
            return OperationalError(context.statement, None, original, connection_invalidated=True)

        if seconds:
            _ask_before_use(engine)

    def condition(self, error: BaseException) -> Condition | None:
        """Classify by SQLSTATE."""
        code: str = getattr(error, "sqlstate", None) or ""
        if code in _CONFLICT_CODES:
            return "conflict"
        if code == _ABSENT_CODE:
            return "absent"
        lost = (
            code[:2] in _UNAVAILABLE_CLASSES
            or code in _UNAVAILABLE_CODES
            or type(error).__name__ == _OUTDATED
        )
        return "unavailable" if lost or getattr(error, "is_outage", False) else None

    def is_local(self, url: str) -> bool:
        """Return whether the host is this machine; one in the query counts as remote."""
        parts = urlsplit(url)
        return parts.hostname in {"localhost", "127.0.0.1", "::1"} or (
            parts.hostname is None and "host=/" in parts.query
        )

    def display(self, url: str) -> str:
        """Return host, port and database."""
        parts = urlsplit(url)
        return parts.netloc.rpartition("@")[2] + parts.path

    def connection_limit(self, connection: Connection) -> int | None:
        """Return what the server, the database and the role leave to ordinary users."""
        row = connection.exec_driver_sql(
            """
            SELECT current_setting('max_connections')::int
                 - current_setting('superuser_reserved_connections')::int
                 - coalesce(current_setting('reserved_connections', true)::int, 0),
                   (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
                   (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)
            """
        ).one()
        # -1 is "no limit".
        return min(int(limit) for limit in row if limit >= 0)

    def begin_migrations(self, connection: Connection) -> None:
        """
        Wait for other deploys, then refuse to wait long for tables.

        A statement that alters a table queues behind the transactions that use it, and everybody
        else queues behind the statement: five seconds of that are an outage nobody notices, an
        unbounded wait is one everybody does. A migration that gives up changes nothing and can be
        run again.
        """
        # Ten minutes: longer than any migration that should run while a deploy waits.
        connection.exec_driver_sql("SET lock_timeout = '10min'")
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
        connection.exec_driver_sql("SET lock_timeout = '5s'")


def _ask_before_use(engine: Engine) -> None:
    """
    Ask an idle connection whether it is alive before a request depends on it.

    After a restart of the database requests get fresh connections instead of errors. SQLAlchemy's
    own `pool_pre_ping` asks every time, which costs three round trips per request, and lets a
    time-out pass as an error that is not the database's.
    """

    @event.listens_for(engine, "connect")
    @event.listens_for(engine, "checkin")
    def remember(connection: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: Any, proxy: Any) -> None:
        # The event loop has noticed if the server closed it.
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError
        if time.monotonic() - record.info["used"] < TRUST_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except (OSError, engine.dialect.loaded_dbapi.Error) as error:
            raise InvalidatePoolError from error


def _operational_error(dialect: Dialect, error: OSError) -> Exception:
    """Build an error of the driver's own family."""
    text = "timed out" if isinstance(error, TimeoutError) else str(error)
    translated: Exception = dialect.loaded_dbapi.OperationalError(text)
    translated.is_outage = True  # type: ignore[attr-defined]
    return translated


def _plain(error: OSError) -> OSError:
    """
    Return the refusal in asyncio's "Multiple exceptions", raised for a name with several addresses.
    """
    if error.errno is None and "Multiple exceptions" in str(error) and "refused" in str(error):
        return ConnectionRefusedError(str(error))
    return error


BACKEND = Postgresql()
