"""Go back to an earlier release."""

from __future__ import annotations

import argparse
import math

from release import before, deploy, install, lock, prune, recover, runs, say
from release.before import Change
from release.machine import Machine
from release.say import Problem

HELP = "switch back to an earlier release, with today's environment and secrets"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "release",
        nargs="?",
        help="see `list`; any unambiguous part of the name (default: the one before)",
    )
    for part in before.parts():
        part.arguments(parser, back=True)


def run(arguments: argparse.Namespace) -> int:
    """Roll back on this machine."""
    machine = Machine.of(arguments)
    machine.require_root()
    with lock.hold(machine.paths.lock, "rollback", machine.shell):
        recover.recover(machine)
        current = runs.current(machine)
        if current is None:
            raise Problem("nothing was deployed here yet")
        name = chosen(machine, current.release, arguments.release)
        release = machine.paths.releases / name
        install.interpreter(release)
        change = Change(release, runs.release_of(machine, current), back=True)
        for part in before.parts():
            part.check(machine, change, arguments)
        deploy.change(machine, release, arguments, deploy.steps(machine))
    say.done(f"{name} serves", machine.shell.dry)
    return 0


def chosen(machine: Machine, current: str, wanted: str | None) -> str:
    """Return the release that is meant; a Problem when it cannot be told."""
    names = [path.name for path in prune.releases(machine)]
    listed = ", ".join(name for name in names if name != current) or "none"
    if wanted is None:
        # Earlier by the run that first served: two rollbacks go two releases back, not to and fro,
        # and it does not matter what the clock of whoever built them said.
        first = prune.first_runs(machine)
        began = first.get(current, math.inf)
        earlier = sorted(
            (name for name in names if first.get(name, math.inf) < began),
            key=lambda name: first[name],
            reverse=True,
        )
        if not earlier:
            raise Problem(f"there is no release before {current} to go back to; others: {listed}")
        return earlier[0]
    found = [name for name in names if wanted in name]
    if len(found) != 1:
        raise Problem(f"{wanted} is {'more than one' if found else 'no'} release here: {listed}")
    if found[0] == current:
        raise Problem(f"{current} is the one that serves; to start it anew: {say.TOOL} restart")
    return found[0]
