"""The result of a run, for people and for programs."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.once import Render, Start
from benchmarks.profile import Profile
from benchmarks.rounds import Cost


@dataclass(frozen=True)
class Goal:
    """A number we promised. `name` says of what."""

    name: str
    measured: float
    most: float
    unit: str

    @property
    def met(self) -> bool:
        """Tell whether the promise was kept."""
        return self.measured <= self.most


@dataclass(frozen=True)
class Result:
    """Everything one run measured."""

    machine: str
    servers: dict[str, str]
    costs: Sequence[Cost]
    starts: Sequence[Start]
    render: Render
    profile: Profile

    @property
    def goals(self) -> list[Goal]:
        """The promises of the design and of docs/proof.md."""
        cost = {cost.name: cost for cost in self.costs}
        start = {start.name: start for start in self.starts}
        return [
            Goal("CPU per request, default against bare", cost["default"].ratio, 1.0, "×"),
            Goal("CPU per request, /health against a bare route", cost["default, /health"].ratio, 0.6, "×"),
            Goal("memory per worker, default, resident", start["default"].resident, 56, "MiB"),
            Goal("start to first 200, default", start["default"].first_200, 0.7, "s"),
        ]

    def json(self) -> str:
        """All of it."""
        return json.dumps(asdict(self) | {"goals": [asdict(g) | {"met": g.met} for g in self.goals]}, indent=2)

    def markdown(self) -> str:
        """The results for a person, ratios first."""
        tables = [
            f"Measured on {self.machine}.",
            "\n".join(f"- {name}: `{command}`" for name, command in self.servers.items()),
            _table(
                ("CPU per request", "× bare", "rounds from – to", "µs here"),
                [
                    (c.name, f"{c.ratio:.2f}", f"{c.spread[0]:.2f} – {c.spread[1]:.2f}", f"{c.microseconds:.0f}")
                    for c in self.costs
                ],
            ),
            _table(
                ("one worker, alone", "resident MiB", "proportional MiB", "start to first 200 s"),
                [(s.name, f"{s.resident:.0f}", f"{s.proportional:.0f}", f"{s.first_200:.2f}") for s in self.starts],
            ),
            _table(
                ("the default, as a user makes it", "s"),
                [
                    ("`copier copy`", f"{self.render.copy:.2f}"),
                    ("`uv sync`, unlocked, cache warm", f"{self.render.sync:.2f}"),
                    ("production server to first 200", f"{self.render.first_200:.2f}"),
                    ("copy to first 200", f"{self.render.total:.2f}"),
                ],
            ),
            _table(
                ("one request inside one process, no sockets", "µs here"),
                [(name, f"{value:.1f}") for name, value in self.profile.microseconds.items()]
                + [("objects per request left to the garbage collector", f"{self.profile.garbage:.0f}")],
            ),
            _table(
                ("promise", "measured", "at most", ""),
                [
                    (g.name, f"{g.measured:.2f} {g.unit}", f"{g.most:g} {g.unit}", "kept" if g.met else "**missed**")
                    for g in self.goals
                ],
            ),
        ]
        return "\n\n".join(tables) + "\n"


def machine(python: str) -> str:
    """The machine and the versions that the numbers belong to."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    load = f"load average {os.getloadavg()[0]:.1f} at the start"
    return f"{len(os.sched_getaffinity(0))} × {model}, {platform.system()}, Python {python}, {load}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
