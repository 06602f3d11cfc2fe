"""Say how the service does."""

from __future__ import annotations

import argparse

from release import runs, say, status
from release.machine import Machine

HELP = "say which release serves, and how it does; exits with 1 when it does not"


def arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    machine = Machine.of(arguments)
    machine.require_root()
    for name, value in status.rows(machine):
        say.line(f"{name:12} {value}")
    current = runs.current(machine)
    serves = current is not None and machine.systemd.is_active(machine.unit(current.number))
    return 0 if serves else 1
