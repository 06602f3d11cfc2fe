"""`release doctor`: look at everything on the host that the service depends on."""

from __future__ import annotations

import argparse

from release.doctor import report
from release.machine import Machine

HELP = "check the host: Python, time, disk, certificate, addresses, connections, limits"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes: nothing."""


def run(arguments: argparse.Namespace) -> int:
    """Print a table; the exit code is 1 when something is broken now."""
    machine = Machine.of(arguments)
    machine.require_root()
    return report(machine)
