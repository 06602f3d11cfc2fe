"""Migrations and models, on the database of the tests."""

from alembic import command

from tests.fixtures.database import alembic_config


def test_models_and_migrations_agree(database_url: str) -> None:
    """
    A database that was migrated has exactly what the models describe: else run `make migration`.
    """
    command.check(alembic_config(database_url))


def test_down_and_up_again(database_url: str) -> None:
    """Every migration can be taken back, and made again."""
    config = alembic_config(database_url)
    command.downgrade(config, "base")
    command.upgrade(config, "head")
    command.check(config)
