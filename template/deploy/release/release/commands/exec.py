"""Run a command as the service would."""

from __future__ import annotations

import argparse
import os
import sys

from release import install, runs, transient
from release.machine import Machine
from release.say import Problem

HELP = "run a command in the current release, as its user, with its environment and secrets"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …")


def run(arguments: argparse.Namespace) -> int:
    """Run it, and become it: its streams and its exit code are ours."""
    machine = Machine.of(arguments)
    machine.require_root()
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise Problem("no command; for example: exec -- python -V")
    current = runs.current(machine)
    if current is None:
        raise Problem("nothing was deployed here yet")
    install.interpreter(runs.release_of(machine, current))
    terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout))
    command = transient.command(machine, current.number, words, terminal=terminal)
    if machine.shell.dry:
        machine.shell.run(command)
        return 0
    sys.stdout.flush()
    os.execvp(command[0], command)
