"""How the service does on this host."""

from __future__ import annotations

import shutil

from release import prune, readiness, recover, runs
from release.machine import Machine


def rows(machine: Machine) -> list[tuple[str, str]]:
    """Return what there is to say, as names and values."""
    python, current = machine.host.python, runs.current(machine)
    if current is None:
        return [("run", "none; nothing was deployed here yet")]
    show = machine.systemd.show(
        machine.unit(current.number),
        "ActiveState",
        "SubState",
        "StatusText",
        "ActiveEnterTimestamp",
        "NRestarts",
        "MemoryCurrent",
    )
    state = f"{show['ActiveState']} ({show['SubState']}) since {show['ActiveEnterTimestamp']}"
    if show["NRestarts"] not in ("", "0"):
        state += f", restarted {show['NRestarts']} times by systemd"
    found = [
        ("release", current.release),
        ("run", f"{current.number}, by {current.verb}, {current.created}"),
        ("state", state),
        ("says", show["StatusText"] or "nothing"),
        ("memory", mib(show["MemoryCurrent"])),
        ("ready", readiness.ask(machine).said),
        ("socket", machine.systemd.show(machine.socket, "ActiveState")["ActiveState"]),
        ("maintenance", "on" if machine.paths.maintenance.exists() else "off"),
        ("python", python),
        ("disk", f"{shutil.disk_usage(machine.paths.home).free >> 20} MiB free"),
    ]
    others = [
        f"{number} ({state})"
        for number, state in sorted(runs.states(machine).items())
        if number != current.number and state in recover.BUSY
    ]
    if others:
        found.append(("beside it", f"run {', '.join(others)}: the next command clears this up"))
    return found


def releases(machine: Machine) -> list[str]:
    """Return a line per release, the newest first, the current one marked."""
    current = runs.current(machine)
    notes = runs.every(machine)
    lines = []
    for path in prune.releases(machine):
        served = [run.number for run in notes if run.release == path.name and run.served]
        mark = "*" if current and current.release == path.name else " "
        told = f"run {', '.join(map(str, served))}" if served else "never served"
        lines.append(f"{mark} {path.name}  {told}")
    return lines


def mib(text: str) -> str:
    """Write a number of bytes for people; systemd says `[not set]` where it does not count."""
    return f"{int(text) >> 20} MiB" if text.isdigit() and int(text) < 1 << 60 else "not counted"
