"""`release tls`: get the certificate, or say who does."""

from __future__ import annotations

import argparse

from release import say
from release.machine import Machine
from release.say import Problem
from release.setup import packages_in

HELP = "get a certificate for the domain, and have it renewed"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--email", default="", help="where the authority writes")
    parser.add_argument("--server", default="", metavar="URL", help="another ACME directory")
    parser.add_argument("--force", action="store_true", help="although the present one is good")


def run(arguments: argparse.Namespace) -> int:
    """Take the steps that the proxy names."""
    machine = Machine.of(arguments)
    machine.require_root()
    steps = machine.edge.tls(machine.site(), arguments)
    for step in steps:
        if step.command is None and packages_in(step.text):
            raise Problem(step.text)
    progress = say.Steps(sum(step.command is not None for step in steps))
    for step in steps:
        if step.command is None:
            say.line(step.text)
            continue
        with progress.step(step.text):
            machine.shell.run(step.command)
    return 0
