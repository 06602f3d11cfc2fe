"""Migrations, against the database of the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from app.database.settings import PROJECT
from tests.fixtures.database import alembic_config, run_sql

BROKEN = '''
"""Fails half-way."""

from alembic import op

revision = "broken"
down_revision = {head!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE half (n INTEGER)")
    op.execute("SELECT nonsense")
'''


def test_models_and_migrations_agree(database_url: str) -> None:
    """A database that was migrated has exactly what the models describe: else run `make migration`."""
    command.check(alembic_config(database_url))


def test_down_and_up_again(database_url: str) -> None:
    """Every migration can be taken back, and made again."""
    config = alembic_config(database_url)
    command.downgrade(config, "base")
    command.upgrade(config, "head")
    command.check(config)


def test_two_at_once(database_url: str) -> None:
    """Of deploys that migrate at the same time each waits for the others."""
    command.downgrade(alembic_config(database_url), "base")
    deploys = [
        subprocess.Popen(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=PROJECT,
            env=os.environ | {"DATABASE_URL": database_url},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [deploy.communicate(timeout=60)[1] for deploy in deploys]
    assert [deploy.returncode for deploy in deploys] == [0, 0, 0], said
    command.check(alembic_config(database_url))


def test_a_failed_migration_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    """What a failed migration had done is undone."""
    config = alembic_config(database_url)
    head = ScriptDirectory.from_config(config).get_current_head()
    for path in (PROJECT / "migrations" / "versions").glob("*.py"):
        shutil.copy(path, tmp_path)
    (tmp_path / "broken.py").write_text(BROKEN.format(head=head))
    config.set_main_option("version_locations", str(tmp_path))
    with pytest.raises(DBAPIError, match="nonsense"):
        command.upgrade(config, "head")
    with pytest.raises(DBAPIError, match="half"):
        run_sql(database_url, "SELECT * FROM half")
