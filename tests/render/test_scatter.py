"""
The scatter budget: an option is a unit that can be pointed at.
"""

from __future__ import annotations

from tests.support import questions, scatter


def test_options_stay_in_few_files() -> None:
    """
    Each option is used in its feature document, the seams and files of its own: six at most, and what is recorded.
    """
    counted = {
        row: [path for path in row.files if (row.option, path) not in scatter.EXCEPTIONS] for row in scatter.table()
    }
    ladder = {q.name for q in questions.questions() if q.document == scatter.LADDER}
    worst = [row for row, files in counted.items() if len(files) > scatter.FILES and row.option not in ladder]
    assert not worst, f"\n{scatter.printed()}"


def test_a_number_decides_nothing() -> None:
    """
    The ladder may stand anywhere because it only fills in values: nothing comes or goes with it.
    """
    for row in scatter.table():
        if row.files[0] == f"features/{scatter.LADDER}.yml":
            assert row.guards == 0, f"\n{scatter.printed()}"


def test_exceptions_are_needed() -> None:
    """
    An exception that is not used any more goes.
    """
    rows = {row.option: row for row in scatter.table()}
    for option, path in scatter.EXCEPTIONS:
        assert path in rows[option].files
        assert len(rows[option].files) > scatter.FILES


def test_guards_are_rare() -> None:
    """
    Rendered files read as if written by hand: a block tag every forty lines at most.
    """
    lines, tags = scatter.density()
    assert lines >= 40 * tags, f"\n{scatter.printed()}"


def test_every_option_has_an_effect() -> None:
    """
    A question that changes nothing would be a lie.
    """
    owning = {
        option
        for option, names in scatter.options().items()
        for entries in questions.documents().values()
        if any(scatter.mentions(entry, names) for entry in entries.get("_exclude", []))
    }
    inert = [row.option for row in scatter.table() if not row.guards and not row.values and row.option not in owning]
    assert not inert
