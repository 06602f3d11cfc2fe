"""List the releases."""

from __future__ import annotations

import argparse

from release import say, status
from release.machine import Machine

HELP = "list the releases that are installed, the current one marked"


def arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(arguments: argparse.Namespace) -> int:
    """Print one line each."""
    lines = status.releases(Machine.of(arguments))
    for line in lines or ["no release is installed here"]:
        say.line(line)
    return 0
