"""`release build`: the file that `deploy --artifact` installs, for example made by CI."""

from __future__ import annotations

import argparse
from pathlib import Path

from release import say
from release.artifact import KINDS
from release.build import build
from release.machine import Machine
from release.project import root
from release.target import here, parse

HELP = "make the artifact of the committed project, to be deployed later or elsewhere"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument(
        "--for",
        dest="target",
        metavar="TARGET",
        help="what the host has, as `facts` prints it: python3.13-x86_64-glibc2.41; default: this",
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default="wheels",
        help="wheels need no index on the host; a venv no compiler either, and a machine like it "
        "here; source is installed from an index by the host (default: wheels)",
    )
    parser.add_argument("--to", metavar="FOLDER", help="where to put it (default: dist)")


def run(arguments: argparse.Namespace) -> int:
    """Build for the target that was named, or for the machine this is."""
    machine = Machine.of(arguments)
    target = parse(arguments.target) if arguments.target else here()
    folder = Path(arguments.to) if arguments.to else root() / "dist"
    path = build(root(), machine.slug, target, arguments.kind, folder, arguments.dry_run)
    say.line(str(path))
    return 0
