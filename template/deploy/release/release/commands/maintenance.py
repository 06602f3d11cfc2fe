"""Have the proxy answer instead of the service."""

from __future__ import annotations

import argparse

from release import lock, say
from release.machine import Machine
from release.say import Problem

HELP = "have the proxy answer 503 to everything but /health; the service goes on running"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("state", choices=("on", "off"))


def run(arguments: argparse.Namespace) -> int:
    """Switch it."""
    machine = Machine.of(arguments)
    machine.require_root()
    on = arguments.state == "on"
    if machine.edge.name == "none":
        raise Problem("there is no proxy here; tell the load balancer in front of this host")
    with lock.hold(machine.paths.lock, "maintenance", machine.shell):
        if on:
            machine.shell.write(machine.paths.maintenance, "")
        else:
            machine.shell.remove(machine.paths.maintenance)
        if machine.shell.dry:
            machine.shell.would(f"tell {machine.edge.name}")
        else:
            machine.edge.maintenance(machine.site(), on)
    say.done(f"maintenance is {arguments.state}", machine.shell.dry)
    return 0
