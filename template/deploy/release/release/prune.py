"""What is kept: a few releases to go back to, and notes of the last runs."""

from __future__ import annotations

from pathlib import Path

from release import runs, static
from release.install import is_whole
from release.machine import Machine

KEEP = 3


def releases(machine: Machine) -> list[Path]:
    """List the releases that are installed, the newest first."""
    return sorted(filter(is_whole, machine.paths.releases.glob("*")), reverse=True)


def first_runs(machine: Machine) -> dict[str, int]:
    """Return the first run of each release that has served."""
    return {run.release: run.number for run in reversed(runs.every(machine)) if run.served}


def prune(machine: Machine, keep: int = KEEP) -> list[str]:
    """Remove what is not kept; return the names of the releases that went."""
    notes = runs.every(machine)
    current = runs.current(machine)
    in_use = {current.release} if current else set()
    served = {run.release for run in notes if run.served}
    # The one that serves is kept however old it is, and beside it the newest that once did: one
    # that never served is what a deploy has left that was killed.
    others = [path for path in releases(machine) if path.name not in in_use]
    kept = [path for path in others if path.name in served][:keep]
    gone = [path for path in others if path not in kept]
    for path in gone:
        # Removed in two moves: what is left of a removal that was killed is known to be waste.
        waste = path.with_name(f"{path.name}.partial")
        machine.shell.rename(path, waste)
        machine.shell.remove(waste)
    names = in_use | {path.name for path in kept}
    first = first_runs(machine)
    for run in notes:
        # A release that is kept is known to have served, and since when, however long ago it was.
        wanted = run in notes[-runs.NOTES :] or first.get(run.release) == run.number
        if run != current and not (wanted and run.release in names):
            runs.remove(machine, run.number)
    static.prune(machine, [path for path in releases(machine) if path not in gone])
    return [path.name for path in gone]
