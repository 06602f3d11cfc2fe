"""
The table of losses, kept in a file so that docs/proof.md and a report can quote what was really counted.
"""

from __future__ import annotations

from tests.support.locks import locked
from tests.support.project import CACHE
from tests.support.tally import HEADER

LEDGER = CACHE / "losses.md"


def write(row: str) -> None:
    """Add a row, in place of an older one for the same event, variant and worker."""
    with locked(LEDGER.with_suffix(".guard")):
        rows = LEDGER.read_text().splitlines()[2:] if LEDGER.exists() else []
        rows = [other for other in rows if _key(other) != _key(row)]
        LEDGER.write_text("\n".join([HEADER, *sorted([*rows, row])]) + "\n")


def _key(row: str) -> tuple[str, ...]:
    event, variant, worker = row.split(" | ")[:3]
    return event, variant, worker.partition(",")[0]
