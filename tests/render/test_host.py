"""
The program on the host: what it reads in a migration before it lets it run.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.questions import ROOT

MIGRATION = '''"""Drop nothing in particular, then rename it: a title."""
from alembic import op

{before}
def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    op.drop_table("taken_back")
    op.execute("ALTER TABLE items DROP COLUMN taken_back")
'''

#: A statement of an upgrade → what it takes away.
TAKES = {
    'op.drop_table("items")': {"items"},
    "op.drop_table('items', schema='shop')": {"items"},
    'op.drop_table(table_name="items")': {"items"},
    'op.drop_table(schema="shop", table_name="items")': {"items"},
    'op.drop_table(\n        # Its rows are elsewhere, by now.\n        "items",\n    )': {"items"},
    'op.drop_table(op.f("items"))': {"items"},
    'op.rename_table("items", "things")': {"items"},
    'op.rename_table(new_table_name="things", old_table_name="items")': {"items"},
    'op.drop_column("items", "price")': {"price"},
    "op.drop_column('items', 'price', schema='shop')": {"price"},
    'op.drop_column(\n        "items",\n        "price",\n    )': {"price"},
    'op.drop_column("items", column_name="price")': {"price"},
    'op.drop_column(table_name="items", column_name="price")': {"price"},
    'op.drop_column(column_name="price", table_name="items")': {"price"},
    'op.drop_column(TABLE, "price")': {"price"},
    # Which column is not said: then it is the table.
    'op.drop_column("items", COLUMN)': {"items"},
    'with op.batch_alter_table("items") as batch:\n        batch.drop_column("price")': {"price"},
    'with op.batch_alter_table("items") as batch:\n        batch.drop_column("price", mssql_drop_check=True)': {
        "price"
    },
    'op.alter_column("items", "price", new_column_name="cents")': {"price"},
    'op.alter_column("items", column_name="price", new_column_name="cents")': {"price"},
    'op.alter_column(table_name="items", column_name="price", new_column_name="cents")': {"price"},
    'op.alter_column("items", "price", existing_type=sa.String(length=20), new_column_name="cents")': {"price"},
    'op.alter_column("items", "price", existing_type=sa.Enum("a", *names(b)), new_column_name="c")': {"price"},
    'batch.alter_column("price", existing_type=sa.Numeric(8, 2), new_column_name="cents")': {"price"},
    'op.execute("DROP TABLE items")': {"items"},
    "op.execute('ALTER TABLE items DROP COLUMN \"price\"')": {"price"},
    'op.execute("ALTER TABLE items DROP COLUMN `price`")': {"price"},
    'op.execute("ALTER TABLE items DROP COLUMN " + "price")': {"price"},
    'op.execute("drop table if exists items cascade")': {"items"},
    'op.execute(sa.text("DROP TABLE items"))': {"items"},
    "op.execute('DROP TABLE \"items\"')": {"items"},
    'op.execute("DROP TABLE \\"items\\"")': {"items"},
    'op.execute("DROP TABLE shop.items")': {"items"},
    'op.execute(\'DROP TABLE "shop"."items"\')': {"items"},
    'op.execute(f"DROP TABLE {SCHEMA}.items")': {"items"},
    'op.execute("DROP TABLE items, prices")': {"items", "prices"},
    'op.execute("DROP TABLE items, shop.prices CASCADE")': {"items", "prices"},
    'op.execute("""DROP TABLE\n        shop."items",\n        "prices"\n    """)': {"items", "prices"},
    'op.execute("DROP TABLE "\n        "items CASCADE")': {"items"},
    'for line in ("DROP TABLE items", "DROP TABLE prices"):\n        op.execute(line)': {"items", "prices"},
    'op.execute("DROP TABLE `items`")': {"items"},
    'op.execute("ALTER TABLE items DROP COLUMN price")': {"price"},
    'op.execute("ALTER TABLE items DROP COLUMN IF EXISTS price, DROP COLUMN weight")': {"price", "weight"},
    'op.execute("ALTER TABLE items "\n        "DROP COLUMN price")': {"price"},
    'op.execute("ALTER TABLE items DROP COLUMN \\"price\\"")': {"price"},
    'op.execute("ALTER TABLE items DROP COLUMN [price]")': {"price"},
    # PostgreSQL needs no COLUMN.
    'op.execute("ALTER TABLE items DROP price")': {"price"},
    'op.execute("ALTER TABLE ONLY shop.items DROP IF EXISTS price CASCADE, DROP weight;")': {"price", "weight"},
    'op.execute("""\n        ALTER TABLE items\n            DROP price,\n            ADD cents int\n    """)': {
        "price"
    },
    'op.execute("ALTER TABLE items RENAME TO things")': {"items"},
    'op.execute("ALTER TABLE IF EXISTS shop.items RENAME TO things")': {"items"},
    'op.execute(\'ALTER TABLE "shop"."items" RENAME TO things\')': {"items"},
    'op.execute("ALTER TABLE items RENAME COLUMN price TO cents")': {"price"},
    'op.execute("ALTER TABLE items RENAME price TO cents")': {"price"},
    'op.execute(\'ALTER TABLE items RENAME COLUMN "price" TO "cents"\')': {"price"},
    'op.execute("ALTER TABLE items RENAME COLUMN \\"price\\" TO cents")': {"price"},
    'op.execute("""\n        ALTER TABLE items\n        RENAME COLUMN price\n        TO cents\n    """)': {"price"},
}
#: Every word that could be taken for a name.
WORDS = ("items", "price", "prices", "weight", "taken_back", "things", "cents", "shop", "drop", "column", "the", "if")
#: A statement that takes nothing away.
LEAVES = (
    'op.create_table("items", sa.Column("price", sa.Integer()))',
    'op.add_column("items", sa.Column("price", sa.Integer()))',
    'op.drop_index("ix_items_price", table_name="items")',
    'op.drop_constraint("uq_items_price", "items")',
    'op.alter_column("items", "price", existing_type=sa.Integer(), nullable=False)',
    'op.alter_column("items", "price", nullable=False)\n    op.create_table("x", comment="new_column_name")',
    'op.execute("ALTER TABLE items DROP CONSTRAINT uq_items_price")',
    'op.execute("ALTER TABLE items ALTER COLUMN price DROP NOT NULL, ALTER COLUMN price DROP DEFAULT")',
    'op.execute("ALTER TABLE items RENAME CONSTRAINT price TO cents")',
    'op.execute("DROP INDEX ix_items_price")',
    "# Fill the new column, then drop the old one.\n    pass",
    "pass",
)


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """
    deploy/host.py, imported.
    """
    spec = importlib.util.spec_from_file_location("host", ROOT / "template/deploy/host.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(program: ModuleType, folder: Path, upgrade: str, before: str = "") -> set[str]:
    """
    The names that are asked about while older code mentions each of these words alone.
    """
    names: set[str] = set()
    for name in WORDS:
        older, newer = releases(folder / name, upgrade, before)
        (older / "app/models.py").write_text(f"{name}\n")
        try:
            program.refuse_drops(older, newer)
        except program.Refused as refused:
            names.update(re.findall(r" takes (\w+) away", str(refused)))
    return names


def releases(folder: Path, upgrade: str, before: str = "") -> tuple[Path, Path]:
    """
    An older release, and a newer one with a migration more.
    """
    for tree in (folder / "older", folder / "newer"):
        (tree / "migrations/versions").mkdir(parents=True)
        (tree / "app").mkdir()
    text = MIGRATION.format(upgrade=upgrade, before=before)
    (folder / "newer/migrations/versions/0002_more.py").write_text(text)
    return folder / "older", folder / "newer"


@pytest.mark.parametrize("statement", TAKES)
def test_what_a_migration_takes_away_is_found(program: ModuleType, tmp_path: Path, statement: str) -> None:
    """
    Every way of writing it is found: a name that is missed is a table that vanishes under the release that serves.
    """
    assert found(program, tmp_path, statement) == TAKES[statement]


@pytest.mark.parametrize("statement", LEAVES)
def test_what_a_migration_leaves_is_not_asked_about(program: ModuleType, tmp_path: Path, statement: str) -> None:
    """
    A question without a reason trains people to answer it without reading.
    """
    assert found(program, tmp_path, statement) == set()


def test_a_downgrade_is_not_read(program: ModuleType, tmp_path: Path) -> None:
    """
    Wherever it is in the file; what follows it is.
    """
    before = 'def downgrade() -> None:\n    op.drop_table("taken_back")\n\n\n'
    assert found(program, tmp_path, 'op.drop_table("items")', before) == {"items"}


def test_a_drop_is_refused_where_the_older_code_mentions_it(program: ModuleType, tmp_path: Path) -> None:
    """
    As a word, in whatever case; a migration that both releases have is over. The file, the line and the way out are named.
    """
    older, newer = releases(tmp_path, 'op.drop_column("items", "PRICE")')
    path, code = newer / "migrations/versions/0002_more.py", older / "app/models.py"

    code.write_text("prices = price_list = repriced = 1\n")
    program.refuse_drops(older, newer)

    code.write_text('price: Mapped[int] = mapped_column("cents")\n')
    with pytest.raises(program.Refused) as refused:
        program.refuse_drops(older, newer)
    assert str(refused.value).startswith("0002_more.py, line 6, takes PRICE away, which older may still use")
    assert "--allow-drops" in str(refused.value)

    (older / "migrations/versions/0002_more.py").write_text(path.read_text())
    program.refuse_drops(older, newer)


#: A line of the environment file → what a run gets; None where the line is refused.
LINES: dict[str, str | None] = {
    "LOG_LEVEL=info": "LOG_LEVEL=info",
    "  LOG_LEVEL = info  ": "LOG_LEVEL = info",
    'GREETING="two words"': 'GREETING="two words"',
    "PATTERN='a\\d \"#\"'": "PATTERN='a\\d \"#\"'",
    "COLOUR=#fff": "COLOUR=#fff",
    'TITLE=the "best"': 'TITLE=the "best"',
    "URL=http://a/?b=c#d": "URL=http://a/?b=c#d",
    "NAME=ä": "NAME=ä",
    "LOG_LEVEL=info\r": "LOG_LEVEL=info",
    # Not there.
    "": "",
    "# a path: C:\\": "",
    "; a comment": "",
    "WEB_CONCURRENCY=": "",
    "WEB_CONCURRENCY =  ": "",
    'WEB_CONCURRENCY=""': "",
    "WEB_CONCURRENCY=''": "",
    # systemd would read something else, the next line as well, or nothing.
    "FOLDER=C:\\": None,
    "PATTERN=a\\d": None,
    'PATTERN="a\\d"': None,
    'GREETING="two words': None,
    "GREETING='two words": None,
    'GREETING="two" words': None,
    'GREETING="two words" # for all': None,
    "LOG_LEVEL=info # or debug": None,
    "export LOG_LEVEL=info": None,
    "LOG-LEVEL=info": None,
    "LOG_LEVEL: info": None,
    "LOG_LEVEL": None,
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("end", ["\n", ""], ids=["whole", "at the end"])
def test_a_line_of_the_environment_is_read_as_it_is_written_or_refused(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, end: str
) -> None:
    """
    systemd joins lines, takes backslashes away and ignores what it cannot read, all without a word. Empty is unset.
    """
    monkeypatch.setattr(program, "ETC", tmp_path)
    (tmp_path / "environment").write_text(f"FIRST=1\n{line}{end}", newline="")
    if (expected := LINES[line]) is None:
        with pytest.raises(program.Refused, match="environment, line 2: "):
            program.environment()
    else:
        assert program.environment().decode().split("\n") == ["FIRST=1", *filter(None, [expected]), ""]


def test_the_pointer_is_written_whole_beside_the_lines_of_an_operator(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Also where the last line has no end: one run is named, once.
    """
    monkeypatch.setattr(program, "SLUG", "shop")
    monkeypatch.setattr(program, "UNITS", tmp_path)
    monkeypatch.setattr(program, "POINTER", tmp_path / "run.conf")
    monkeypatch.setattr(program, "run", lambda *words: None)
    (tmp_path / "run.conf").write_text(
        "[Unit]\nWants=shop@1.service\n\n[Socket]\nListenStream=127.0.0.1:8000\nService=shop@1.service"
    )
    program.point(2)
    assert (tmp_path / "run.conf").read_text() == (
        "[Unit]\nWants=shop@2.service\n\n[Socket]\nService=shop@2.service\nListenStream=127.0.0.1:8000\n"
    )
    assert program.current() == 2


def test_what_somebody_has_put_beside_the_releases_stops_nothing(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A file, a directory of another name and a link among the static files are left alone, and no obstacle.
    """
    for name in ("RELEASES", "RUNS", "STATIC"):
        monkeypatch.setattr(program, name, tmp_path / name.lower())
        (tmp_path / name.lower()).mkdir()
    monkeypatch.setattr(program, "POINTER", tmp_path / "run.conf")
    monkeypatch.setattr(program, "states", lambda: {7: "active", 8: "inactive"})
    (tmp_path / "releases/copy.tar.gz").touch()
    (tmp_path / "releases/lost+found").mkdir()
    for name in ("20260101T000000Z-0000001", "20260101T000000Z-0000002.partial"):
        (tmp_path / "releases" / name).mkdir()
    (tmp_path / "static/media").symlink_to(tmp_path)
    for run in ("7", "8"):
        (tmp_path / "runs" / run).mkdir()
    (tmp_path / "runs/99").touch()
    program.prune()
    assert sorted(path.name for path in (tmp_path / "releases").iterdir()) == ["copy.tar.gz", "lost+found"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["7", "99"]
    assert not (tmp_path / "static/media").is_symlink()
    assert program.noted() == {7}


@pytest.mark.parametrize("line", ['{"level":"error","event":"bad \\ud83d end"}', "[" * 20_000], ids=["half", "deep"])
def test_whatever_a_release_has_logged_can_be_told(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """
    Half of a pair of characters, and JSON without end: neither keeps a run from being undone.
    """
    monkeypatch.setattr(program, "output", lambda *words: f"{line}\nthe reason\n")
    program.explain(1, 0)
    assert "the reason" in capsys.readouterr().out


def test_a_run_that_is_being_restarted_is_asked_when_it_is_back(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Only one that is not there, or stays silent, lets anything through.
    """
    seen = iter(["deactivating", "activating", "activating", "active"])
    monkeypatch.setattr(program, "states", lambda: {1: next(seen)})
    monkeypatch.setattr(program.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(program, "ready", lambda: (503, ["database"]))
    assert program.gate(1) == "READY_GATE_SECONDS=30\nREADY_GATE_FORGIVES=database\n"
    monkeypatch.setattr(program, "states", lambda: {1: "failed"})
    assert program.gate(1) == ""
    monkeypatch.setattr(program, "states", lambda: {1: "active"})
    monkeypatch.setattr(program, "ready", lambda: (0, []))
    assert program.gate(1) == ""


def test_only_numbers_are_runs(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Files that somebody else has put beside them are not counted, and not read.
    """
    monkeypatch.setattr(program, "RUNS", tmp_path)
    for name in ("1", "12", "007", "²", "-3", "4.bak", "0", "five", " 6"):
        (tmp_path / name).mkdir()
    assert program.noted() == {1, 12}
