"""Migrations that meet: nothing to write, a newer database, two deploys at once, a failure."""

import multiprocessing
import shutil
from argparse import Namespace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from app.database.settings import PROJECT
from tests.fixtures.database import alembic_config, run_sql

# For two processes to import everything on a machine that is busy.
PATIENCE = 110

MIGRATION = """
import time

from alembic import op

revision = "extra"
down_revision = {head!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    time.sleep({seconds})
    op.execute("CREATE TABLE extra (n INTEGER)")
    op.execute("{statement}")


def downgrade() -> None:
    op.execute("DROP TABLE extra")
"""


def config_with_one_more(
    url: str, directory: Path, statement: str = "SELECT 1", seconds: float = 0
) -> Config:
    """Return a configuration with another migration after ours, which takes a while."""
    config = alembic_config(url)
    head = ScriptDirectory.from_config(config).get_current_head()
    for path in (PROJECT / "migrations" / "versions").glob("*.py"):
        shutil.copy(path, directory)
    source = MIGRATION.format(head=head, seconds=seconds, statement=statement)
    (directory / "extra.py").write_text(source)
    config.set_main_option("version_locations", str(directory))
    return config


def upgrade(url: str, directory: str, barrier: Barrier) -> None:
    """Migrate in a process of its own, when the others are ready too."""
    config = alembic_config(url)
    config.set_main_option("version_locations", directory)
    barrier.wait(PATIENCE)
    command.upgrade(config, "head")


def test_no_migration_that_changes_nothing(database_url: str, tmp_path: Path) -> None:
    """`make migration` without a change in the models writes no file, and says so."""
    config = config_with_one_more(database_url, tmp_path)
    (tmp_path / "extra.py").unlink()
    before = set(tmp_path.glob("*.py"))
    config.cmd_opts = Namespace(autogenerate=True)
    with pytest.raises(CommandError, match="nothing to write"):
        command.revision(config, "nothing", autogenerate=True)
    assert set(tmp_path.glob("*.py")) == before


def test_a_newer_database(database_url: str, tmp_path: Path) -> None:
    """After the way back to the release before, `-x newer=fine` leaves the database as it is."""
    newer, config = config_with_one_more(database_url, tmp_path), alembic_config(database_url)
    command.upgrade(newer, "head")
    with pytest.raises(CommandError, match="was migrated by code that is not here"):
        command.upgrade(config, "head")
    config.cmd_opts = Namespace(x=["newer=fine"])
    command.upgrade(config, "head")
    run_sql(database_url, "SELECT * FROM extra")
    command.downgrade(newer, "-1")


def test_newer_is_fine_and_older_is_migrated(database_url: str, tmp_path: Path) -> None:
    """With `-x newer=fine` a database that is older is migrated all the same."""
    newer = config_with_one_more(database_url, tmp_path)
    newer.cmd_opts = Namespace(x=["newer=fine"])
    command.upgrade(newer, "head")
    run_sql(database_url, "SELECT * FROM extra")
    command.downgrade(newer, "-1")


def test_several_at_once(database_url: str, tmp_path: Path) -> None:
    """Of deploys that migrate at the same moment each waits for the others."""
    config = config_with_one_more(database_url, tmp_path, seconds=0.3)
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    deploys = [
        spawn.Process(target=upgrade, args=(database_url, str(tmp_path), barrier)) for _ in range(2)
    ]
    for deploy in deploys:
        deploy.start()
    for deploy in deploys:
        deploy.join(PATIENCE)
    assert [deploy.exitcode for deploy in deploys] == [0, 0]
    command.downgrade(config, "-1")


def test_a_failed_migration_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    """The changes of a migration that failed are undone."""
    config = config_with_one_more(database_url, tmp_path, "SELECT nonsense")
    with pytest.raises(DBAPIError, match="nonsense"):
        command.upgrade(config, "head")
    with pytest.raises(DBAPIError, match="extra"):
        run_sql(database_url, "SELECT * FROM extra")
