"""The base of all models, column types that mean the same on every database, and all models."""

import importlib
import pkgutil
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

import app

# 64 bits everywhere. SQLite numbers rows by itself only in a column it calls INTEGER, which has 64
# bits there.
RowId = BigInteger().with_variant(Integer(), "sqlite")
MAX_ROW_ID = 2**63 - 1


class Base(DeclarativeBase):
    """
    Models derive from this; `Base.metadata` is what migrations are compared with.

    Constraints get their names from a convention instead of from the database: a migration can only
    alter or drop what it can name, and every database invents other names.
    """

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """
    A moment in time. Always aware and always UTC in Python, also on SQLite, which stores no offset.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; a naive value is a mistake."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give back what was stored, as UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def import_models() -> None:
    """
    Import `app.<feature>.models` of every feature that has one; nothing has to be listed twice.
    """
    for package in pkgutil.iter_modules(app.__path__):
        if package.ispkg and any(
            module.name == "models"
            for module in pkgutil.iter_modules([f"{path}/{package.name}" for path in app.__path__])
        ):
            importlib.import_module(f"app.{package.name}.models")
