"""Counts of the requests of a load: sent, lost, how, and how slow."""

import time
from collections import Counter
from dataclasses import dataclass, field

HEADER = (
    "| event | variant | worker | sent | lost | how | p99 ms | slowest ms | longest silence ms |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
"""The head of the Markdown table that `Tally.row` goes on."""


@dataclass
class Tally:
    """Counts of the requests. Times are seconds."""

    sent: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    """The lost requests by kind: `POST 502`."""
    times: list[float] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    """The numbers of the POST requests that were answered 2xx."""
    dropped: int = 0
    """Idle connections that the server closed without having announced it. No request was lost with them."""
    foreign: int = 0
    """Answers of 500 and more that are not `application/problem+json`."""
    silence: float = 0.0
    """The longest time in which nobody was answered."""
    _answered_at: float = field(default_factory=time.monotonic)

    @property
    def lost(self) -> int:
        """Requests without a complete answer below 500."""
        return self.kinds.total()

    @property
    def slowest(self) -> float:
        """The slowest answer, a new connection included."""
        return max(self.times, default=0.0)

    @property
    def p99(self) -> float:
        """99 of 100 answers were at least as fast as this."""
        ordered = sorted(self.times)
        return ordered[int(len(ordered) * 0.99)] if ordered else 0.0

    def __add__(self, other: "Tally") -> "Tally":
        """Both together; the longest silence is the longer one."""
        return Tally(
            self.sent + other.sent,
            self.kinds + other.kinds,
            self.statuses + other.statuses,
            self.ways + other.ways,
            self.times + other.times,
            self.acknowledged + other.acknowledged,
            self.dropped + other.dropped,
            self.foreign + other.foreign,
            max(self.silence, other.silence),
        )

    def row(self, *labels: str) -> str:
        """One line of the Markdown table that `HEADER` begins."""
        lost = f"**{self.lost}**" if self.lost else "0"
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items())) or "none"
        times = f"{self.p99 * 1000:.0f} | {self.slowest * 1000:.0f} | {self.silence * 1000:.0f}"
        return f"| {' | '.join(labels)} | {self.sent} | {lost} | {kinds} | {times} |"

    def note(self, method: str, started: float, status: int | None, kind: str | None) -> None:
        """Count one request that was sent at `started` and ended now."""
        now = time.monotonic()
        self.sent += 1
        if status is not None:
            self.statuses[status] += 1
        if kind is not None:
            self.kinds[kind] += 1
            self.ways[f"{method} {kind}"] += 1
            return
        self.times.append(now - started)
        self.silence = max(self.silence, now - self._answered_at)
        self._answered_at = now
