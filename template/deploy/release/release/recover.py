"""What a command that was killed has left: found and cleared up by the next one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from release import before, runs, say, sockets
from release.install import PARTIAL, is_whole
from release.machine import Machine

STARTED = ("active", "reloading")
# A run that crashes again and again is "activating" between two attempts.
BUSY = (*STARTED, "activating", "deactivating")


def recover(machine: Machine) -> None:
    """
    Bring the host to where one run serves and nothing else is left.

    The socket says whose turn it is. If that one does not run and another does, then a deploy ended
    between starting the one and giving it the socket, or before stopping the other: whoever serves
    is the current run.
    """
    states = runs.states(machine)
    owner = sockets.owner(machine)
    serving = [number for number, state in states.items() if state in STARTED]
    if serving and owner not in serving:
        owner = max(serving)
        say.line(f"      run {owner} serves, and becomes the current one")
        adopt(machine, owner)
    elif owner is not None and owner in serving and not is_enabled(machine, owner):
        machine.systemd.enable(machine.unit(owner))
    current = runs.current(machine)
    if current is not None and current not in runs.every(machine):
        say.line(f"      the note of run {current.number} could not be read; it is written anew")
        runs.note(machine, current)
    strays = [number for number, state in states.items() if number != owner and state in BUSY]
    for number in sorted(strays):
        say.line(f"      run {number} was left over; it is stopped")
        machine.systemd.stop(machine.unit(number))
    clear(machine, owner, states)


def adopt(machine: Machine, number: int) -> None:
    """Make a run that serves the current one."""
    machine.systemd.enable(machine.unit(number))
    sockets.give(machine, number)
    for run in runs.every(machine):
        if run.number == number and not run.served:
            runs.note(machine, replace(run, served=runs.now()))
    machine.systemd.read_units()


def is_enabled(machine: Machine, number: int) -> bool:
    """Tell whether a run is started at boot."""
    return (machine.paths.units / f"{machine.target}.wants" / machine.unit(number)).is_symlink()


def clear(machine: Machine, owner: int | None, states: dict[int, str]) -> None:
    """Remove what belongs to no run, and no release."""
    units = machine.paths.units
    links = numbers(machine, units / f"{machine.target}.wants") - {owner}
    machine.systemd.disable(*(machine.unit(number) for number in sorted(links)))
    # Whoever restarts by itself has nothing to wait for.
    machine.shell.remove(machine.paths.gate)
    for number in sorted((links | numbers(machine, units) | set(states)) - {owner}):
        forget(machine, number)
    failed = [number for number, state in states.items() if state == "failed" and number != owner]
    machine.systemd.forget(*(machine.unit(number) for number in failed))
    served = {run.number for run in runs.every(machine) if run.served}
    for path in machine.paths.runs.glob("*"):
        if not path.name.isdigit() or int(path.name) not in served | {owner}:
            machine.shell.remove(path)
    for path in machine.paths.releases.glob("*"):
        if path.suffix == PARTIAL or not is_whole(path):
            say.line(f"      {path.name} was not installed to its end; it is removed")
            machine.shell.remove(path)


def forget(machine: Machine, number: int) -> None:
    """Remove what was written for a run that is over."""
    runs.finish(machine, number)
    for part in before.parts():
        part.forget(machine, number)


def numbers(machine: Machine, directory: Path) -> set[int]:
    """Return the runs that links and drop-ins in one of systemd's directories are about."""
    pattern = re.compile(rf"{re.escape(machine.slug)}@(\d+)\.service(\.d)?")
    found = (pattern.fullmatch(path.name) for path in directory.glob(f"{machine.slug}@*"))
    return {int(match[1]) for match in found if match}
