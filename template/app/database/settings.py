"""Settings of the database."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from app.core.config import PLACEHOLDER, EnvironmentSettings, load_settings
from app.database.backends import backend_for, check_production
from app.database.backends.base import Backend

PROJECT = Path(__file__).resolve().parents[2]
# Ignored by git. Absolute, so that it is the same file from whatever directory a command is run.
DEVELOPMENT_URL = f"sqlite:///{PROJECT / 'var' / 'development.db'}"


class DatabaseSettings(EnvironmentSettings):
    """The address of the database, and the share of one worker: every number is per worker."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_")

    # Secret, because it holds a password: never in a log or a traceback.
    url: SecretStr | None = None
    # Connections that are kept. A connection serves one request at a time, and only while it talks
    # to the database: five keep a worker busy that answers about a thousand such requests a second
    # in 5 ms each.
    pool_size: Annotated[int, Field(ge=1)] = 5
    # Connections beyond those in a burst, closed after use.
    max_overflow: Annotated[int, Field(ge=0)] = 5
    # The time for connecting, for waiting for a connection of the pool, and for a statement, each.
    # Far below REQUEST_SECONDS, so that a request hears of a slow database in time to answer 503.
    seconds: Annotated[float, Field(gt=0)] = 5

    @field_validator("url")
    @classmethod
    def check_url(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse a URL no connection can be made with. Messages never hold the URL."""
        if value is not None:
            url = value.get_secret_value()
            backend_for(url).check_url(url)
        return value

    @property
    def is_embedded(self) -> bool:
        """Tell whether nothing was configured and the development file is used."""
        return self.url is None

    @property
    def effective_url(self) -> str:
        """The URL with its secrets."""
        return self.url.get_secret_value() if self.url else DEVELOPMENT_URL

    @property
    def backend(self) -> Backend:
        """The kind of database the URL is of."""
        return backend_for(self.effective_url)

    @property
    def connections(self) -> int:
        """The most connections that one worker opens."""
        return self.pool_size + self.max_overflow

    def production_problems(self) -> Iterable[str]:
        """Require a real URL of the right kind."""
        variable = self.variable("url")
        if self.url is None:
            yield f"{variable}: missing"
        elif PLACEHOLDER in self.effective_url:
            yield f"{variable}: still holds the placeholder {PLACEHOLDER}"
        else:
            try:
                check_production(self.effective_url)
            except ValueError as error:
                yield f"{variable}: {error}"


def load_database_settings() -> DatabaseSettings:
    """Read the settings of the database alone, for migrations; raises ConfigurationError."""
    return load_settings(_OnlyDatabase).database


@dataclass(frozen=True)
class _OnlyDatabase:
    database: DatabaseSettings
