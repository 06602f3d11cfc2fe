"""Run migrations: with the settings of the service, one at a time, all or nothing."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from alembic import context
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.config import ConfigurationError
from app.database.migration_logs import quieten
from app.database.models import Base, RowId, UtcDateTime, import_models
from app.database.session import open_migration_engine
from app.database.settings import DatabaseSettings, load_database_settings

logger = logging.getLogger("migrations")


def render_item(kind: str, item: Any, autogen_context: Any) -> str | bool:
    """
    Write our column types as plain ones: a migration must still run when the code has moved on.
    """
    if isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if item is RowId:
        return 'sa.BigInteger().with_variant(sa.Integer(), "sqlite")'
    return False


def refuse_empty(
    migration: MigrationContext, revision: object, scripts: list[MigrationScript]
) -> None:
    """Let `make migration` write no file that changes nothing; one written by hand may begin so."""
    asked = getattr(context.config.cmd_opts, "autogenerate", False)
    if asked and all(
        script.upgrade_ops is None or script.upgrade_ops.is_empty() for script in scripts
    ):
        raise CommandError("the models and the migrations agree: nothing to write")


def is_ahead(heads: Iterable[str]) -> bool:
    """Tell whether the database is at a version that this code does not have."""
    return not {script.revision for script in context.script.walk_revisions()}.issuperset(heads)


def may_be_ahead() -> bool:
    """
    Tell whether that is to be expected: `alembic -x newer=fine …`.

    It is after the way back to the release before, whose containers migrate whenever they start.
    """
    # The command line is absent in tests, and in development.
    words = getattr(context.config.cmd_opts, "x", None) or []
    return "newer=fine" in words


def refuse_unknown(heads: Iterable[str], settings: DatabaseSettings) -> None:
    """Say so when the database is at a version that this code does not have."""
    if not is_ahead(heads):
        return
    where, remedy = settings.backend.display(settings.effective_url), "migrate it from there"
    if settings.is_embedded:
        where, remedy = "var/development.db", "delete it"
    raise CommandError(
        f"{where} was migrated by code that is not here: switch back, or {remedy}"
    ) from None


def options() -> dict[str, Any]:
    """Return what online and offline have in common."""
    return {
        "target_metadata": Base.metadata,
        "compare_type": True,
        # SQLite alters a table by building a new one. Written this way, a migration runs
        # everywhere.
        "render_as_batch": True,
        "render_item": render_item,
        "process_revision_directives": refuse_empty,
    }


def migrate(connection: Connection, settings: DatabaseSettings) -> None:
    """Run the command's migrations in one transaction: a failed one leaves nothing behind."""
    backend = settings.backend
    backend.begin_migrations(connection)
    connection.commit()
    # SQLite too can roll back DDL, since our engine begins its transactions itself.
    context.configure(connection=connection, transactional_ddl=True, **options())
    with context.begin_transaction():
        heads = context.get_context().get_current_heads()
        if may_be_ahead() and is_ahead(heads):
            logger.warning("the database is newer (%s): nothing to migrate", ", ".join(heads))
            return
        try:
            context.run_migrations()
        except CommandError:
            refuse_unknown(heads, settings)
            raise
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
        quieten()
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
