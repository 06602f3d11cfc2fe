"""The URLs of PostgreSQL: what is understood, and what is refused."""

import pytest
from pydantic import SecretStr, ValidationError

from app.database.backends.postgresql import BACKEND
from app.database.settings import DatabaseSettings


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_urls(scheme: str) -> None:
    """The URL goes to the driver as libpq would read it, without what only libpq knows."""
    url = f"{scheme}://u:p%40@h1:1,h2:2/d?sslmode=verify-full&channel_binding=require&connect_timeout=1"
    assert DatabaseSettings(url=SecretStr(url)).backend is BACKEND
    _, arguments = BACKEND.engine_arguments(url, 5, "my-service")
    assert arguments == {
        "dsn": "postgresql://u:p%40@h1:1,h2:2/d?sslmode=verify-full",
        "timeout": 5,
        "command_timeout": 6,
        "server_settings": {"application_name": "my-service", "statement_timeout": "5000"},
    }
    assert BACKEND.display(url) == "h1:1,h2:2/d"


def test_what_the_url_sets_wins() -> None:
    """A URL may say it differently, for a pooler or in SQLAlchemy's words."""
    url = "postgresql://h/d?ssl=require&application_name=x&statement_cache_size=0"
    _, arguments = BACKEND.engine_arguments(url, None, "my-service")
    assert arguments["dsn"] == "postgresql://h/d?application_name=x&sslmode=require"
    assert arguments["server_settings"] == {}
    assert arguments["statement_cache_size"] == 0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:12/secret@db/name",
        "postgresql://user:ab?secret@db/name",
        "postgresql://user:ab#secret@db/name",
        "postgresql://user:a[b]secret@db/name",
        "postgresql://user:secret@db:5x32/name",
        "postgresql://user:secret@db/name?sslmode=secret",
    ],
)
def test_a_url_that_reads_differently_than_it_was_meant_is_refused(url: str) -> None:
    """At the start, and without a part of the password in the message."""
    with pytest.raises(ValidationError) as refused:
        DatabaseSettings(url=SecretStr(url))
    assert "secret" not in str(refused.value)


def test_a_url_names_a_database() -> None:
    """Without a name the server would take the user's."""
    with pytest.raises(ValidationError, match="names no database"):
        DatabaseSettings(url=SecretStr("postgresql://user@host"))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("postgresql://u@localhost/d", True),
        ("postgresql://u@[::1]:5433/d", True),
        ("postgresql:///d?host=/run/postgresql", True),
        ("postgresql://u@db/d", False),
        ("postgresql:///d?host=db", False),
        ("postgresql://127.0.0.1,db/d", False),
    ],
)
def test_only_this_machine_is_local(url: str, local: bool) -> None:
    """Development migrates what is certainly here."""
    assert BACKEND.is_local(url) is local
