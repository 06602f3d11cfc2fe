"""A machine that is a directory, with a systemd that only remembers what it was told."""

import argparse
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from release import runs
from release.host import Host
from release.machine import Machine
from release.paths import Paths
from release.service import Service
from release.shell import Result, Shell
from release.systemd import Systemd

SLUG = "shop"


class OwnShell(Shell):
    """Does without what only root may: other groups, and priorities of systemd."""

    def run(self, argv: Sequence[str], **options: Any) -> Result:
        return super().run(argv, **{**options, "calm": False})

    def write(
        self, path: Path, content: str | bytes, mode: int = 0o644, group: str | None = None
    ) -> bool:
        return super().write(path, content, mode)


class FakeSystemd(Systemd):
    """Starts and stops in a dictionary, and writes down what it was told."""

    def __init__(self, shell: Shell) -> None:
        super().__init__(shell)
        self.states: dict[str, str] = {}
        self.told: list[str] = []
        self.broken: set[str] = set()

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        known = {"ActiveState": self.states.get(unit, "inactive")}
        return {name: known.get(name, "") for name in properties}

    def units(self, pattern: str) -> dict[str, str]:
        beginning, end = pattern.split("*")
        return {
            unit: state
            for unit, state in self.states.items()
            if unit.startswith(beginning) and unit.endswith(end)
        }

    def start(self, unit: str) -> Result:
        self.told.append(f"start {unit}")
        fails = unit in self.broken
        # As with Restart=: it is tried again and again.
        self.states[unit] = "activating" if fails else "active"
        return subprocess.CompletedProcess([], int(fails), "", "")

    def stop(self, *units: str) -> None:
        for unit in units:
            self.told.append(f"stop {unit}")
            self.states.pop(unit, None)

    def enable(self, *units: str) -> None:
        self.told += [f"enable {unit}" for unit in units]

    def disable(self, *units: str) -> None:
        self.told += [f"disable {unit}" for unit in units]

    def forget(self, *units: str) -> None:
        pass

    def read_units(self) -> None:
        self.told.append("read units")

    def journal(self, unit: str, lines: int = 40, since: float = 0) -> str:
        return f"the log of {unit}"


def machine_in(root: Path, *, dry: bool = False, socket_path: str = "/run/shop.sock") -> Machine:
    """Set a machine up in a directory."""
    shell = OwnShell(dry)
    service = Service(
        slug=SLUG,
        domain="shop.test",
        proxy="none",
        socket_path=socket_path,
        socket_group="",
        port=8000,
        request_seconds=30,
        stop_seconds=46,
        python_minimum="3.11",
    )
    machine = Machine(service, Paths(SLUG, root), shell, FakeSystemd(shell))
    for directory in (machine.paths.releases, machine.paths.runs, machine.paths.credentials):
        directory.mkdir(parents=True)
    machine.paths.environment.write_text("LOG_LEVEL=info\n")
    Host(domain="shop.test").save(machine.paths.host, OwnShell())
    return machine


def systemd_of(machine: Machine) -> FakeSystemd:
    """Return the machine's systemd, as what it is."""
    assert isinstance(machine.systemd, FakeSystemd)
    return machine.systemd


def install(machine: Machine, name: str, files: Sequence[str] = ()) -> Path:
    """Make something that looks like a release."""
    release = machine.paths.releases / name
    release.mkdir()
    (release / "manifest.json").write_text("{}")
    for file in files:
        path = release / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{file} of {name}")
    return release


def arguments(verb: str) -> argparse.Namespace:
    """Give what the command line would."""
    return argparse.Namespace(verb=verb, dry_run=False, keep=3)


def create(machine: Machine, release: str, *, served: str = "") -> runs.Run:
    """Make the next run of a release."""
    run = replace(runs.following(machine, release, "deploy"), served=served)
    runs.create(machine, run)
    return run
