"""How migrations are run: with the settings of the service, one at a time, all or nothing."""

import asyncio
import logging
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.config import ConfigurationError
from app.database.base import Base
from app.database.engine import open_migration_engine
from app.database.models import import_models
from app.database.settings import DatabaseSettings, load_database_settings
from app.database.types import RowId, UtcDateTime


def render_item(kind: str, item: Any, autogen_context: Any) -> str | bool:
    """Write our column types as plain ones: a migration must still run when the code has moved on."""
    if isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if item is RowId:
        return 'sa.BigInteger().with_variant(sa.Integer(), "sqlite")'
    return False


def options() -> dict[str, Any]:
    """Return what online and offline have in common."""
    return {
        "target_metadata": Base.metadata,
        "compare_type": True,
        # SQLite alters a table by building a new one. Written this way, a migration runs everywhere.
        "render_as_batch": True,
        "render_item": render_item,
    }


def migrate(connection: Connection, settings: DatabaseSettings) -> None:
    """Run the command's migrations in one transaction: a failed one leaves nothing behind."""
    backend = settings.backend
    backend.begin_migrations(connection)
    connection.commit()
    # SQLite too can roll back DDL, since our engine begins its transactions itself.
    context.configure(connection=connection, transactional_ddl=True, **options())
    with context.begin_transaction():
        context.run_migrations()
        backend.check_migrations(connection)


async def migrate_online(engine: AsyncEngine, settings: DatabaseSettings) -> None:
    """Migrate the database."""
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate, settings)
    finally:
        await engine.dispose()


def migrate_offline(settings: DatabaseSettings) -> None:
    """Write the SQL to standard output: `alembic upgrade head --sql`."""
    context.configure(dialect_name=settings.backend.name, literal_binds=True, **options())
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    """Do what the command line, or `app/database/development.py`, asks for."""
    import_models()
    settings = context.config.attributes.get("settings")
    if settings is None:
        # The command line: nobody has set up logging yet.
        logging.basicConfig(format="%(message)s")
        logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
        try:
            settings = load_database_settings()
        except ConfigurationError as error:
            raise CommandError(error.operator_message) from None
    if context.is_offline_mode():
        migrate_offline(settings)
    else:
        settings.backend.create(settings.effective_url)
        asyncio.run(migrate_online(open_migration_engine(settings), settings))


run()
