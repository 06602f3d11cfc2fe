"""
What has to happen before a run is started.

A part of the service that needs something has a module here, which holds a `PART`. Nobody lists
them, so that a service without the part has no trace of it.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from release.machine import Machine


@dataclass(frozen=True)
class Change:
    """From which release to which."""

    release: Path
    running: Path | None
    """None where nothing runs yet."""
    back: bool = False
    """Whether the one to start was running before the other."""


class Part(Protocol):
    """One thing to happen."""

    title: str
    """What it does, as a step."""

    def arguments(self, parser: argparse.ArgumentParser, back: bool) -> None:
        """Add its options to `deploy`, or to `rollback`."""

    def check(self, machine: Machine, change: Change, arguments: argparse.Namespace) -> None:
        """Raise a Problem when the change must not be made. Changes nothing."""

    def act(self, machine: Machine, number: int, arguments: argparse.Namespace) -> None:
        """Do it for a run that is about to be started for the first time; raises a Problem."""

    def forget(self, machine: Machine, number: int) -> None:
        """Remove what was written for a run."""


def parts() -> list[Part]:
    """Find them all."""
    modules = (
        importlib.import_module(f"{__name__}.{found.name}")
        for found in pkgutil.iter_modules(__path__)
    )
    return [module.PART for module in modules if hasattr(module, "PART")]
