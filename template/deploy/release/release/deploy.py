"""
From one run to the next, without losing a request.

The new run is started beside the old one, on the same socket. Its workers accept nothing before
they are as ready as those of the old run (`serving/gate.py`). Then the socket is given to it and
the old one is told to stop, which lets it finish what it has begun. Whatever fails before that
leaves the old run as it was.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from release import before, prune, readiness, recover, runs, say, sockets, static
from release.machine import Machine
from release.runs import Run
from release.say import Problem, Steps

# How long new workers may take to become ready, once they have started.
GATE_SECONDS = 30


def steps(machine: Machine, before_that: int = 0, *, prepare: bool = False) -> Steps:
    """Count the steps of a change, and of what the caller does before."""
    stopping = runs.current(machine) is not None
    return Steps(before_that + 5 + stopping + (len(before.parts()) if prepare else 0))


def change(
    machine: Machine,
    release: Path,
    arguments: argparse.Namespace,
    steps: Steps,
    *,
    prepare: bool = False,
    keep: int = prune.KEEP,
) -> None:
    """
    Replace the current run by a new one of a release.

    `prepare` is whether the release is new here, so that what comes before it has to be done.
    """
    old = runs.current(machine)
    parts = before.parts() if prepare else []
    with steps.step("add its static files"):
        static.merge(machine, release)
    new = runs.following(machine, release.name, arguments.verb)
    with undone(machine, new, old):
        with steps.step(f"make run {new.number}"):
            runs.create(machine, new)
        for part in parts:
            with steps.step(part.title):
                part.act(machine, new.number, arguments)
        with steps.step(f"start run {new.number} and wait until it is ready"):
            start(machine, new, old)
        with steps.step(f"give the socket to run {new.number}"):
            give(machine, new, old)
    if old is not None:
        with steps.step(f"stop run {old.number}, which finishes what it has begun"):
            machine.systemd.stop(machine.unit(old.number))
            machine.systemd.forget(machine.unit(old.number))
            recover.forget(machine, old.number)
    with steps.step("remove what is not kept"):
        machine.systemd.read_units()
        prune.prune(machine, keep)


def start(machine: Machine, new: Run, old: Run | None) -> None:
    """Start a run and wait until it serves; raise a Problem with what it logged if it does not."""
    gate = machine.paths.gate / str(new.number)
    machine.shell.directory(machine.paths.gate)
    machine.shell.write(gate, gate_for(machine, old))
    if old is None:
        # Nobody serves yet: the socket may as well start whoever is coming.
        sockets.give(machine, new.number)
        machine.systemd.read_units()
    unit, began = machine.unit(new.number), int(time.time())
    result = machine.systemd.start(unit)
    machine.shell.remove(gate)
    if result.returncode:
        journal = machine.systemd.journal(unit, since=began)
        rest = f"run {old.number} ({old.release}) serves on" if old else "nothing serves"
        raise Problem(
            f"run {new.number} ({new.release}) did not start, its log is above; {rest}", journal
        )


def gate_for(machine: Machine, old: Run | None) -> str:
    """
    Write what the new workers have to wait for: to be no less ready than the old run is.

    A check that is down in the old run may be down in the new one, so that a fix can be deployed in
    the middle of an outage. Where the old run does not answer at all, any new one is better.
    """
    if old is None:
        return f"READY_GATE_SECONDS={GATE_SECONDS}\n"
    if not machine.systemd.is_active(machine.unit(old.number)):
        say.warn(f"run {old.number} does not run, so the new one need not be ready")
        return ""
    ready = readiness.ask(machine)
    if ready.status not in (200, 503):
        say.warn(f"run {old.number} does not answer ({ready.said}), so the new one need not either")
        return ""
    if ready.missing:
        say.warn(f"run {old.number} is {ready.said}, so this is forgiven in the new one")
    forgiven = f"READY_GATE_FORGIVES={','.join(ready.missing)}\n" if ready.missing else ""
    return f"READY_GATE_SECONDS={GATE_SECONDS}\n{forgiven}"


def give(machine: Machine, new: Run, old: Run | None) -> None:
    """
    Make a run that serves the current one: for connections, and for the next boot.

    It is enabled before it gets the socket, and the old one disabled last: wherever this ends, the
    run that the socket names is one that a boot starts.
    """
    machine.systemd.enable(machine.unit(new.number))
    sockets.give(machine, new.number)
    runs.note(machine, replace(new, served=runs.now()))
    if old is not None:
        machine.systemd.disable(machine.unit(old.number))
    machine.systemd.enable(machine.socket, machine.target)
    machine.systemd.read_units()
    for unit in (machine.socket, machine.target):
        if not machine.systemd.is_active(unit):
            machine.systemd.start(unit)


@contextmanager
def undone(machine: Machine, new: Run, old: Run | None) -> Iterator[None]:
    """Undo a run that did not come to serve; the old one has not been touched."""
    try:
        yield
    except BaseException:
        say.finish_line()
        if sockets.owner(machine) == new.number and old is not None:
            # It serves and has the socket. What is left to do is done by the next command.
            say.line(f"      run {new.number} serves; the next command stops run {old.number}")
            raise
        with say.uninterrupted():
            say.line(f"      run {new.number} is undone")
            if old is None:
                machine.systemd.stop(machine.socket)
                sockets.give(machine, None)
            machine.systemd.stop(machine.unit(new.number))
            machine.systemd.forget(machine.unit(new.number))
            machine.systemd.disable(machine.unit(new.number))
            recover.forget(machine, new.number)
            runs.remove(machine, new.number)
            machine.systemd.read_units()
        raise
