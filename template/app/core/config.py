"""The sources of settings, and the message when settings are wrong."""

import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

# What `.env.example` puts where a secret belongs.
PLACEHOLDER = "change-me"

# Relative: a developer runs everything from the root of the project.
DOTENV = Path(".env")


def split_commas(value: Any) -> Any:
    """Turn `a, b` into `("a", "b")`; anything but a string passes unchanged."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]
Environment = Literal["development", "production"]


class ConfigurationError(Exception):
    """
    The environment does not hold what the service needs.

    `operator_message` is complete by itself: a server may print it without a traceback.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        lines = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        self.operator_message = (
            f"The service does not start, because of its configuration:\n{lines}\n"
            "A variable is read from the environment, then from a file of its name in "
            "$CREDENTIALS_DIRECTORY or /run/secrets, then (in development) from .env. "
            "All of them are in .env.example."
        )
        super().__init__(self.operator_message)


class SecretFiles(SecretsSettingsSource):
    """Files named as the variables; systemd puts `secret_` before those of a whole directory."""

    @classmethod
    def find_case_path(cls, dir_path: Path, file_name: str, case_sensitive: bool) -> Path | None:
        """Find the file of a variable."""
        names = (file_name, f"secret_{file_name}")
        found = (super(SecretFiles, cls).find_case_path(dir_path, n, case_sensitive) for n in names)
        return next(filter(None, found), None)


class EnvironmentSettings(BaseSettings):
    """
    Base of every settings class: one class per feature, beside the feature.

    The first of these that has a value wins: the environment, secret files, `.env` (in
    development). An empty value counts as unset.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        # A rejected value may be a secret: keep it out of tracebacks and logs.
        hide_input_in_errors=True,
    )

    app_env: Environment = Field(default="development", validation_alias="APP_ENV")

    @property
    def is_production(self) -> bool:
        """Tell whether placeholders and embedded defaults are refused."""
        return self.app_env == "production"

    def production_problems(self) -> Iterable[str]:
        """Say what production needs and this does not have: `NAME: what is wrong`."""
        return ()

    @classmethod
    def variable(cls, field: str) -> str:
        """Name the environment variable of a field."""
        alias = cls.model_fields[field].validation_alias
        return str(alias or f"{cls.model_config.get('env_prefix', '')}{field}").upper()

    @classmethod
    def variables(cls) -> list[str]:
        """Name every environment variable this class reads."""
        return [cls.variable(field) for field in cls.model_fields]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources; see the class."""
        sources = [init_settings, env_settings]
        # systemd's LoadCredential= and the secrets of container platforms are files.
        directories = [os.environ.get("CREDENTIALS_DIRECTORY", ""), "/run/secrets"]
        sources += [
            SecretFiles(settings_cls, secrets_dir=directory)
            for directory in directories
            if directory and Path(directory).is_dir()
        ]
        if os.environ.get("APP_ENV") != "production":
            sources.append(DotEnvSettingsSource(settings_cls, env_file=DOTENV))
        return tuple(sources)


def load_settings(composite: type[T]) -> T:
    """
    Build a dataclass whose fields are settings classes.

    Raises ConfigurationError, which names everything that is wrong in all of them.
    """
    kinds = get_type_hints(composite)
    loaded: dict[str, EnvironmentSettings] = {}
    problems: list[str] = []
    for field in fields(composite):
        kind: type[EnvironmentSettings] = kinds[field.name]
        try:
            settings = kind()
        except ValidationError as error:
            problems += _describe(kind, error)
            continue
        loaded[field.name] = settings
        if settings.is_production:
            problems += settings.production_problems()
    if problems:
        raise ConfigurationError(problems)
    return composite(**loaded)


def _describe(kind: type[EnvironmentSettings], error: ValidationError) -> Iterable[str]:
    for detail in error.errors(include_url=False, include_input=False):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        variable = kind.variable(name) if name in kind.model_fields else name
        message = detail["msg"].removeprefix("Value error, ")
        yield f"{variable}: {message}" if variable else message
