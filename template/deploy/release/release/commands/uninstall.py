"""`release uninstall`: take the service off this machine."""

from __future__ import annotations

import argparse
import sys

from release.machine import Machine
from release.say import Problem
from release.uninstall import uninstall

HELP = "stop the service and remove it; data and secrets stay unless --purge"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--purge", action="store_true", help="data, configuration and user too")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Ask, and do it."""
    machine = Machine.of(arguments)
    if not arguments.dry_run:
        confirm(machine.slug, "this machine", arguments)
    uninstall(machine, arguments.purge)
    return 0


def remote(arguments: argparse.Namespace) -> int:
    """Ask here, and do it there."""
    from release import remote
    from release.service import Service

    words = sys.argv[1:]
    if not arguments.dry_run:
        confirm(Service.load().slug, ", ".join(arguments.host), arguments)
        words = [*words, "--yes"]
    return remote.forward(arguments.host, words)


def confirm(slug: str, where: str, arguments: argparse.Namespace) -> None:
    """Have a person type the name; without a terminal, `--yes` is needed."""
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise Problem("this removes the service; to say that you mean it: --yes")
    what = "the service, its data and its secrets" if arguments.purge else "the service"
    if input(f"This removes {what} from {where}. To go on, type {slug}: ").strip() != slug:
        raise Problem("nothing was removed")
