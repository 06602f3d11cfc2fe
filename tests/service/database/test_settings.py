"""DATABASE_URL and its companions."""

import pytest
from pydantic import SecretStr, ValidationError

from app.core.config import ConfigurationError
from app.database.backends import CHOSEN, EMBEDDED
from app.database.settings import DEVELOPMENT_URL, DatabaseSettings, load_database_settings
from app.settings import Settings


@pytest.fixture(autouse=True)
def _no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


def test_embedded_by_default() -> None:
    """With nothing set, the data is a file in the project."""
    settings = DatabaseSettings()
    assert settings.is_embedded
    assert settings.effective_url == DEVELOPMENT_URL
    assert settings.backend is EMBEDDED


@pytest.mark.parametrize("url", [None, "", "postgresql://app:change-me@localhost/app"])
def test_production_names_what_is_missing(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In production a missing URL and a placeholder are refused by the name of the variable."""
    monkeypatch.setenv("APP_ENV", "production")
    if url is not None:
        monkeypatch.setenv("DATABASE_URL", url)
    for load in (Settings.load, load_database_settings):
        with pytest.raises(ConfigurationError, match="DATABASE_URL: ") as caught:
            load()
        assert "app:" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_files(scheme: str) -> None:
    """A URL of a file names that file, relative or absolute."""
    backend = DatabaseSettings(url=SecretStr(f"{scheme}:///a.db")).backend
    assert backend.display(f"{scheme}:///a.db") == "a.db"
    assert backend.display(f"{scheme}:////a/b.db") == "/a/b.db"


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "oracle://scott:tiger@host/db", "tiger", "://tiger"],
)
def test_impossible_urls(url: str) -> None:
    """A URL that cannot work is refused without being repeated."""
    with pytest.raises(ValidationError) as caught:
        DatabaseSettings(url=SecretStr(url))
    assert "tiger" not in str(caught.value)


def test_secrets_stay_secret() -> None:
    """The password is in no representation."""
    settings = DatabaseSettings(url=SecretStr("sqlite:///tiger.db"))
    assert "tiger" not in f"{settings!r} {settings} {settings.model_dump()}"


def test_production_runs_on_the_chosen_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production a file serves only a service that was made for one."""
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("DATABASE_URL", "sqlite:////var/lib/data.db")
    if CHOSEN is EMBEDDED:
        assert Settings.load().database.backend is CHOSEN
    else:
        with pytest.raises(ConfigurationError, match=f"on {CHOSEN.name} only"):
            Settings.load()
