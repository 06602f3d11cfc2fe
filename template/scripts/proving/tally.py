"""What became of the requests of one event."""

import time
from collections import Counter
from dataclasses import dataclass, field

# How a connection ends when its process is gone. Everything else is never an accident.
BROKEN = frozenset({"reset", "eof", "cut short"})


@dataclass
class Tally:
    """Counts; times are in seconds."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    """How requests were lost."""
    in_flight: int = 0
    """Requests that went down with a worker that was killed: nobody could have answered them."""
    slowest: float = 0.0
    forgive_before: float = 0.0
    """What had been begun before this moment and breaks off counts as in flight."""

    @property
    def lost(self) -> int:
        """How many requests got no complete answer below 500, those in flight aside."""
        return self.kinds.total()

    def note(self, started: float, status: int | None, kind: str | None) -> None:
        """Count a request that has ended now; `kind` says how it was lost."""
        self.sent += 1
        if status is not None:
            self.statuses[status] += 1
        if kind is None:
            self.slowest = max(self.slowest, time.monotonic() - started)
        elif kind in BROKEN and started < self.forgive_before:
            self.in_flight += 1
        else:
            self.kinds[kind] += 1
