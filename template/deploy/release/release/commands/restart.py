"""Start the current release anew."""

from __future__ import annotations

import argparse

from release import deploy, install, lock, recover, runs, say
from release.machine import Machine
from release.say import Problem

HELP = "start the same release anew, with the environment and secrets as they are now"


def arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(arguments: argparse.Namespace) -> int:
    """Restart on this machine."""
    machine = Machine.of(arguments)
    machine.require_root()
    with lock.hold(machine.paths.lock, "restart", machine.shell):
        recover.recover(machine)
        current = runs.current(machine)
        if current is None:
            raise Problem("nothing was deployed here yet")
        release = runs.release_of(machine, current)
        install.interpreter(release)
        deploy.change(machine, release, arguments, deploy.steps(machine))
    say.done(f"{current.release} serves", machine.shell.dry)
    return 0
