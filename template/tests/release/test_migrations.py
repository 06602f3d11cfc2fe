"""Which migrations would break a release that is running."""

import json
import subprocess
from pathlib import Path

import pytest
from release import install as install_module
from release import sockets
from release.before import Change
from release.before.migrations import Migrations
from release.before.tables import breaking
from release.machine import Machine
from release.say import Problem

from tests.release.machines import arguments, create, install, machine_in, systemd_of

OLD, NEW = "20260101T000000Z-0000001", "20260102T000000Z-0000002"
USE = {"items": {"id", "name", "price"}, "orders": {"id"}}


def migration(body: str, revision: str = "0002") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"""
import sqlalchemy as sa
from alembic import op

revision: str = "{revision}"
down_revision = "0001"
TABLE = "items"


def upgrade() -> None:
{lines}


def downgrade() -> None:
    op.drop_table("items")
"""


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('op.drop_table("items")', "drops the table items"),
        ("op.drop_table(TABLE)", "drops the table items"),
        ('op.drop_column("items", "name")', "drops the column items.name"),
        ('op.drop_column(table_name="items", column_name="name")', "drops the column items.name"),
        ('op.rename_table("orders", "purchases")', "renames the table orders"),
        (
            'op.alter_column("items", "name", new_column_name="title")',
            "renames the column items.name",
        ),
        (
            'with op.batch_alter_table("items", schema=None) as batch_op:\n'
            '    batch_op.drop_column("price")',
            "drops the column items.price",
        ),
        (
            'with op.batch_alter_table("items") as batch:\n'
            '    batch.alter_column("price", new_column_name="amount")',
            "renames the column items.price",
        ),
        ("op.drop_table(name())", "only known when it runs: this cannot be judged"),
        ('op.execute("DROP TABLE items")', "SQL that drops or renames: this cannot be judged"),
        ('op.execute(sa.text("alter table items rename name to title"))', "cannot be judged"),
        ('op.get_bind().execute(sa.text(f"DROP VIEW {TABLE}"))', "cannot be judged"),
        ('op.get_bind().exec_driver_sql("DROP INDEX a; DROP TABLE b")', "cannot be judged"),
        ("op.execute(statement())", "only known when it runs"),
        ("op.execute(STATEMENT)", "cannot be judged"),
        ("op.execute(sa.schema.DropTable(items))", "cannot be judged"),
        ("items.drop(op.get_bind())", "cannot be judged"),
    ],
)
def test_what_takes_away_something_that_is_used_is_found(body: str, what: str) -> None:
    found = breaking(migration(body), USE)
    ((line, said),) = found
    assert what in said
    assert line > 10


@pytest.mark.parametrize(
    "body",
    [
        'op.create_table("more", sa.Column("id", sa.Integer()))',
        'op.add_column("items", sa.Column("colour", sa.String()))',
        'op.drop_table("forgotten")',
        'op.drop_column("items", "forgotten")',
        'op.alter_column("items", "name", type_=sa.Text())',
        'op.drop_index("ix_items_name", table_name="items")',
        'op.drop_constraint("uq_items_name", "items")',
        'op.execute("UPDATE items SET price = 0")',
        'op.execute(f"UPDATE {TABLE} SET price = 0")',
        'op.execute("ALTER TABLE items ALTER COLUMN price DROP NOT NULL")',
        'op.execute("DROP INDEX CONCURRENTLY ix_items_name")',
        "op.execute(sa.update(items).values(price=0))",
        'with op.batch_alter_table("items") as batch:\n    batch.drop_column("forgotten")',
    ],
)
def test_what_takes_away_nothing_that_is_used_is_not(body: str) -> None:
    assert breaking(migration(body), USE) == []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The old release serves; the new one has a migration that drops a column."""
    machine = machine_in(tmp_path)
    first = migration('op.drop_column("items", "id")', "0001")
    drop = migration('op.drop_column("items", "name")')
    for release, versions in (
        (OLD, {"0001_items.py": first}),
        (NEW, {"0001_items.py": first, "0002_drop.py": drop}),
    ):
        path = install(machine, release, [f"migrations/versions/{name}" for name in versions])
        for name, text in versions.items():
            (path / "migrations" / "versions" / name).write_text(text)
        create(machine, release, served="then")
    sockets.give(machine, 1)
    monkeypatch.setattr(install_module, "interpreter", lambda release: release / "python")
    answer = json.dumps({"items": ["id", "name"]})
    monkeypatch.setattr(
        machine.shell,
        "ask",
        lambda argv, **_: subprocess.CompletedProcess(argv, 0, answer, ""),
    )
    return machine


def change(machine: Machine, release: str, running: str, **kwargs: bool) -> Change:
    releases = machine.paths.releases
    return Change(releases / release, releases / running, **kwargs)


def check(machine: Machine, asked: Change, **given: bool) -> None:
    words = arguments("deploy")
    vars(words).update({"skip_migrations": False, "force_migration": False, **given})
    Migrations().check(machine, asked, words)


def test_a_deploy_that_would_break_the_running_release_is_refused(machine: Machine) -> None:
    asked = change(machine, NEW, OLD)
    with pytest.raises(Problem, match=f"would break {OLD}: first deploy") as found:
        check(machine, asked)
    place, _, what = found.value.details.partition(": ")
    assert place == "0002_drop.py, line 11"
    assert what == "it drops the column items.name, which is used"
    check(machine, asked, force_migration=True)
    check(machine, asked, skip_migrations=True)


def test_a_deploy_without_new_migrations_asks_nobody(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "release.before.migrations.used", lambda *_: pytest.fail("nothing has to be known")
    )
    check(machine, change(machine, OLD, NEW))
    check(machine, Change(machine.paths.releases / NEW, None))


def test_going_back_behind_what_was_taken_away_is_refused(machine: Machine) -> None:
    asked = change(machine, OLD, NEW, back=True)
    with pytest.raises(Problem, match=f"have broken {OLD}"):
        check(machine, asked)
    check(machine, asked, force_migration=True)


def test_a_release_that_does_not_answer_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        machine.shell,
        "ask",
        lambda argv, **_: subprocess.CompletedProcess(argv, 1, "", "Trace\nImportError: no"),
    )
    with pytest.raises(Problem, match=r"does not say which tables it uses \(ImportError: no\)"):
        check(machine, change(machine, NEW, OLD))


def test_it_migrates_with_the_secrets_of_the_run(machine: Machine) -> None:
    (machine.paths.credentials / "DATABASE_URL").write_text("secret")
    machine.paths.environment.write_text("REQUEST_SECONDS=100\n")
    run = create(machine, NEW)
    words = arguments("deploy")
    words.skip_migrations = False
    Migrations().act(machine, run.number, words)
    unit = f"shop-migrate@{run.number}.service"
    assert systemd_of(machine).told[-1] == f"start {unit}"
    drop_in = machine.paths.drop_in(unit, "run.conf")
    assert "LoadCredential=DATABASE_URL:" in drop_in.read_text()
    # Of the run, not of a migration.
    assert "TimeoutStopSec" not in drop_in.read_text()
    Migrations().forget(machine, run.number)
    assert not drop_in.parent.exists()


def test_a_migration_that_fails_ends_the_deploy(machine: Machine) -> None:
    run = create(machine, NEW)
    unit = f"shop-migrate@{run.number}.service"
    systemd_of(machine).broken.add(unit)
    words = arguments("deploy")
    words.skip_migrations = False
    with pytest.raises(Problem, match="the migration failed") as found:
        Migrations().act(machine, run.number, words)
    assert found.value.details == f"the log of {unit}"
