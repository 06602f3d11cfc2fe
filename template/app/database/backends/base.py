"""The interface of a backend: what one kind of database has to tell the rest of the service."""

from abc import ABC, abstractmethod
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine

# What an error of the driver means.
#   unavailable  down, saturated or too slow: the same request may succeed later
#   conflict     the change contradicts what is stored
#   absent       there is no such table: nobody has migrated, or the statement is a bug
Condition = Literal["unavailable", "conflict", "absent"]


class Backend(ABC):
    """
    One kind of database: how its URL is read, how a connection is opened, what its errors mean.
    """

    name: str
    schemes: frozenset[str]

    @abstractmethod
    def check_url(self, url: str) -> None:
        """Raise ValueError, in words for the operator, when the URL cannot work."""

    @abstractmethod
    def engine_arguments(
        self, url: str, seconds: float | None, name: str
    ) -> tuple[URL, dict[str, Any]]:
        """
        Return the URL for SQLAlchemy and the arguments that open its connections.

        `seconds` bounds connecting and every statement; None leaves statements unbounded, for
        migrations. `name` is what the server shows in its list of connections.
        """

    @abstractmethod
    def listen(self, engine: Engine, seconds: float | None) -> None:
        """Register what has to be done on every connection."""

    @abstractmethod
    def condition(self, error: BaseException) -> Condition | None:
        """Return what an error of the driver means, None when it is a bug for certain."""

    @abstractmethod
    def is_local(self, url: str) -> bool:
        """Return whether the database runs on this machine."""

    @abstractmethod
    def display(self, url: str) -> str:
        """Return the URL without anything secret, for logs."""

    def connection_limit(self, connection: Connection) -> int | None:
        """
        Return how many connections the server grants to services like this, None when it does not
        count.
        """
        return None

    def create(self, url: str) -> None:
        """Make what must exist before a first connection."""
        return

    def begin_migrations(self, connection: Connection) -> None:
        """Wait until nobody else migrates, and set the connection up for it."""
        return

    def check_migrations(self, connection: Connection) -> None:
        """Raise when the migrations, not yet committed, left the data inconsistent."""
        return
