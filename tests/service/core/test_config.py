"""Settings: where they come from, and what is said when they are wrong."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from app.core.config import (
    CommaSeparated,
    ConfigurationError,
    EnvironmentSettings,
    load_settings,
)
from app.core.http_settings import HttpSettings
from app.settings import Settings


class MailSettings(EnvironmentSettings):
    """An example of a feature's settings."""

    model_config = SettingsConfigDict(env_prefix="MAIL_")

    password: str = "change-me"
    port: int = 25
    hosts: CommaSeparated = ()

    def production_problems(self) -> Iterable[str]:
        """Refuse the placeholder."""
        if self.password == "change-me":
            yield f"{self.variable('password')}: missing"


@dataclass(frozen=True)
class Example:
    """A composite of two."""

    http: HttpSettings = field(default_factory=HttpSettings)
    mail: MailSettings = field(default_factory=MailSettings)


@pytest.fixture
def dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path where `.env` is looked for."""
    path = tmp_path / ".env"
    monkeypatch.setattr("app.core.config.DOTENV", path)
    return path


def test_the_environment_beats_a_secret_file_beats_dotenv(
    tmp_path: Path, dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first source that has a value wins."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    dotenv.write_text("MAIL_PASSWORD=dotenv\nMAIL_PORT=1\n")
    assert MailSettings().password == "dotenv"
    (credentials / "mail_password").write_text("file\n")
    assert MailSettings().password == "file"
    monkeypatch.setenv("MAIL_PASSWORD", "environment")
    assert MailSettings().password == "environment"
    assert MailSettings().port == 1


def test_a_directory_of_credentials_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd gives a file of a directory the credential's name, then its own; a plain one wins."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "secret_MAIL_PASSWORD").write_text("of a directory\n")
    assert MailSettings().password == "of a directory"
    (tmp_path / "MAIL_PASSWORD").write_text("plain\n")
    assert MailSettings().password == "plain"


def test_dotenv_is_not_read_in_production(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a developer left behind does not configure production."""
    dotenv.write_text("MAIL_PORT=1\n")
    monkeypatch.setenv("APP_ENV", "production")
    assert MailSettings().port == 25


def test_an_empty_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose and CI pass empty strings for what is not set."""
    monkeypatch.setenv("MAIL_PORT", "")
    assert MailSettings().port == 25


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks and empty entries are dropped."""
    monkeypatch.setenv("MAIL_HOSTS", "a.example, b.example,,")
    assert MailSettings().hosts == ("a.example", "b.example")


def test_one_message_names_everything_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, malformed and placeholder, of all classes at once, and no value is shown."""
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("REQUEST_SECONDS", "s3cret")
    monkeypatch.setenv("TRUSTED_PROXIES", "*")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(Example)
    message = caught.value.operator_message
    assert "REQUEST_SECONDS: " in message
    assert "TRUSTED_PROXIES: " in message
    assert "MAIL_PASSWORD: missing" in message
    assert "s3cret" not in message


def test_a_trusted_range_may_be_named_by_an_address_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As proxies take it: what stands behind the length of the prefix does not matter."""
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.5/8,2001:db8::1/32")
    assert HttpSettings().trusted_proxies == ("10.0.0.5/8", "2001:db8::1/32")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALLOWED_HOSTS", "api.*"),
        ("ALLOWED_HOSTS", "https://api.example.com"),
        ("CORS_ORIGINS", "app.example.com"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("ROOT_PATH", "shop/"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the first request, and by its name."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"{variable}: "):
        Settings.load()


def test_a_level_may_be_written_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    """As most tools write it."""
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    assert Settings.load().logs.log_level == "warning"


def test_placeholders_are_fine_in_development() -> None:
    """Nothing has to be set to start on a developer's machine."""
    assert load_settings(Example).mail.password == "change-me"


def test_an_unknown_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to type."""
    monkeypatch.setenv("APP_ENV", "prod")
    with pytest.raises(ConfigurationError, match=r"APP_ENV: .*'development' or 'production'"):
        Settings.load()
