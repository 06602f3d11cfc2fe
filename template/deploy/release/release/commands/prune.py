"""Remove releases that are not kept."""

from __future__ import annotations

import argparse

from release import lock, prune, recover, say
from release.machine import Machine

HELP = "remove old releases; every deploy does it too"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--keep",
        type=int,
        default=prune.KEEP,
        metavar="N",
        help=f"how many to keep beside the one that serves (default: {prune.KEEP})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Remove them."""
    machine = Machine.of(arguments)
    machine.require_root()
    with lock.hold(machine.paths.lock, "prune", machine.shell):
        recover.recover(machine)
        for name in prune.prune(machine, max(arguments.keep, 0)):
            say.line(f"removed {name}")
    return 0
