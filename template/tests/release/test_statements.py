"""Statements in a migration: whatever could take something away is not passed over."""

from pathlib import Path

import pytest
from release.before.tables import breaking, revisions

from tests.release.test_migrations import USE, migration


@pytest.mark.parametrize(
    "body",
    [
        'op.execute("DROP TABLE {}".format("items"))',
        'op.execute(textwrap.dedent("DROP TABLE items"))',
        'op.execute(sa.text(textwrap.dedent("DROP TABLE items")))',
        'op.execute(" DROP TABLE items".strip())',
        'op.execute(Path("drop.sql").read_text())',
        'op.execute(sa.DDL("DROP TABLE items"))',
        'op.execute(sqltext="DROP TABLE items")',
        'op.execute("ALTER INDEX a SET (fillfactor = 90); ALTER TABLE items RENAME name TO title")',
        'op.execute("ALTER TABLE items SET SCHEMA attic")',
        'sql = "SELECT 1"\nsql += "; DROP TABLE items"\nop.execute(sql)',
        'sql = "SELECT 1"\nsql = other()\nop.execute(sql)',
        'sql = "SELECT 1"\nsql: str = other()\nop.execute(sql)',
        'sql = "SELECT 1"\nfor sql in others:\n    op.execute(sql)',
        'op.alter_column("items", "name", **{"new_column_name": "title"})',
        'op.invoke(ops.DropTableOp("items"))',
        'op.invoke(ops.RenameTableOp("items", "things"))',
        'op.get_bind().scalar(sa.text("DROP TABLE items"))',
        'op.get_bind().connection.cursor().executescript("DROP TABLE items")',
        'op.get_bind().connection.cursor().executemany("DROP TABLE items", [])',
    ],
)
def test_what_may_take_something_away_is_listed(body: str) -> None:
    ((_, said),) = breaking(migration(body), USE)
    assert "look at it yourself" in said


@pytest.mark.parametrize(
    "body",
    [
        "op.execute(sa.insert(items).from_select(names, query))",
        "op.get_bind().execute(sa.select(items.c.id).where(items.c.id > 1)).scalar()",
        "op.get_bind().scalars(sa.select(items.c.id))",
        'op.get_bind().scalar(sa.text("SELECT count(*) FROM items"))',
        'op.execute("ALTER INDEX a RENAME TO b; UPDATE items SET price = 0")',
        'sql = "UPDATE items SET price = 0"\nop.execute(sql)\nsql = "SELECT 1"\nop.execute(sql)',
    ],
)
def test_what_changes_rows_only_is_not(body: str) -> None:
    assert breaking(migration(body), USE) == []


def test_what_only_a_newer_python_reads_is_listed(tmp_path: Path) -> None:
    source = migration("op.execute(\n")
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0002_new.py").write_text(source)
    assert revisions(tmp_path) == {"0002": versions / "0002_new.py"}
    ((_, said),) = breaking(source, USE)
    assert "this cannot be judged" in said
