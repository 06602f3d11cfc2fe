"""
The table of what was lost in containers, kept in a file so that docs and a report can quote what was really counted.
"""

from __future__ import annotations

from tests.support.locks import locked
from tests.support.project import CACHE
from tests.support.tally import Tally

LEDGER = CACHE / "containers.md"
HEADER = "| event | through | sent | lost | how | p99 ms | slowest ms | longest silence ms |\n|---|---|---|---|---|---|---|---|"
#: How many columns say what a row is about.
LABELS = 2


def write(tally: Tally, event: str, through: str) -> None:
    """
    Add a row, in place of an older one about the same.
    """
    row = tally.row(event, through)
    with locked(LEDGER.with_suffix(".guard")):
        rows = LEDGER.read_text().splitlines()[2:] if LEDGER.exists() else []
        rows = [other for other in rows if _key(other) != _key(row)]
        LEDGER.write_text("\n".join([HEADER, *sorted([*rows, row])]) + "\n")


def _key(row: str) -> tuple[str, ...]:
    return tuple(row.split(" | ")[:LABELS])
