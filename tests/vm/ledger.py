"""
The table of events and edges, kept in a file so that docs/proof.md and a report can quote what was really counted.
"""

from __future__ import annotations

import pytest

from tests.support.locks import locked
from tests.support.project import CACHE
from tests.support.tally import Tally

LEDGER = CACHE / "edges.md"
HEADER = (
    "| system | event | edge | sent | lost | how | sent twice | p99 ms | slowest ms | longest silence ms |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
#: How many columns say what a row is about.
LABELS = 3


def write(rows: list[str]) -> None:
    """
    Add rows, in place of older ones about the same.
    """
    with locked(LEDGER.with_suffix(".guard")):
        kept = LEDGER.read_text().splitlines()[2:] if LEDGER.exists() else []
        new = {_key(row) for row in rows}
        LEDGER.write_text("\n".join([HEADER, *(row for row in kept if _key(row) not in new), *rows]) + "\n")


def row(tally: Tally, twice: int, *labels: str) -> str:
    """
    One line of the table.
    """
    how = ", ".join(f"{count} {way}" for way, count in sorted(tally.ways.items())) or "none"
    lost, again = (f"**{number}**" if number else "0" for number in (tally.lost, twice))
    times = " | ".join(f"{seconds * 1000:.0f}" for seconds in (tally.p99, tally.slowest, tally.silence))
    return f"| {' | '.join(labels)} | {tally.sent} | {lost} | {how} | {again} | {times} |"


def show(reporter: pytest.TerminalReporter) -> None:
    """
    Print it.
    """
    if LEDGER.exists():
        reporter.section("lost at the edges, last counted")
        reporter.write(LEDGER.read_text())


def _key(row: str) -> tuple[str, ...]:
    return tuple(row.split(" | ")[:LABELS])
