"""Runs: one start of a release with one environment, numbered upwards."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from release import credentials, environment, sockets
from release.machine import Machine

# Of finished runs only a note is kept, and of so many.
NOTES = 20


@dataclass(frozen=True)
class Run:
    """What is known of a run."""

    number: int
    release: str
    verb: str
    created: str
    served: str = ""
    """When the socket was given to it; empty until then."""


def every(machine: Machine) -> list[Run]:
    """List the runs there are notes of, the oldest first; notes that cannot be read are none."""
    found = []
    for path in machine.paths.runs.glob("*/run.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            found.append(parse(path.read_text()))
    return sorted(found, key=lambda run: run.number)


def parse(text: str) -> Run:
    """Read a note; one of a newer tool may say more."""
    values = json.loads(text)
    known = {entry.name for entry in dataclasses.fields(Run)}
    run = Run(**{name: value for name, value in values.items() if name in known})
    if not isinstance(run.number, int) or not isinstance(run.release, str):
        raise TypeError("a note of a run names its number and its release")
    return run


def current(machine: Machine) -> Run | None:
    """Return the run that the socket belongs to: also when the note of it cannot be read."""
    number = sockets.owner(machine)
    if number is None:
        return None
    noted = next((run for run in every(machine) if run.number == number), None)
    return noted or from_link(machine, number)


def from_link(machine: Machine, number: int) -> Run | None:
    """Say what a run's own link tells of it."""
    try:
        release = Path(os.readlink(machine.paths.runs / str(number) / "release")).name
    except OSError:
        return None
    return Run(number, release, "deploy", "", served="unknown")


def states(machine: Machine) -> dict[int, str]:
    """Return the runs that systemd knows of, with their active state."""
    pattern = re.compile(rf"{re.escape(machine.slug)}@(\d+)\.service")
    units = machine.systemd.units(f"{machine.slug}@*.service")
    return {int(found[1]): state for unit, state in units.items() if (found := pattern.match(unit))}


def following(machine: Machine, release: str, verb: str) -> Run:
    """Number the next run, which does not exist yet."""
    numbers = [int(path.name) for path in machine.paths.runs.glob("*") if path.name.isdigit()]
    return Run(max([*numbers, *states(machine), 0]) + 1, release, verb, now())


def create(machine: Machine, run: Run) -> None:
    """Make a run: a release, and copies of the environment and the secrets as they are."""
    shell, directory = machine.shell, machine.paths.runs / str(run.number)
    variables = environment.read(machine.paths.environment)
    shell.directory(machine.paths.runs)
    shell.directory(directory)
    shell.link(directory / "release", f"../../releases/{run.release}")
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    shell.write(directory / "environment", text, mode=0o640, group=machine.slug)
    secrets = credentials.read(machine.paths.credentials)
    shell.directory(directory / "credentials", mode=0o700)
    for name, secret in secrets.items():
        shell.write(directory / "credentials" / name, secret, mode=0o600)
    note(machine, run)
    drop_in = machine.paths.drop_in(machine.unit(run.number), "run.conf")
    shell.write(drop_in, settings(machine, run.number, secrets, variables))
    machine.systemd.read_units()


def settings(
    machine: Machine, number: int, secrets: Iterable[str], variables: dict[str, str]
) -> str:
    """Write what a run adds to its unit: its secrets, and times that the environment has moved."""
    lines = [f"# Written by the release tool, for run {number}.", "[Service]"]
    home = machine.paths.runs / str(number) / "credentials"
    lines += [f"LoadCredential={name}:{home / name}" for name in sorted(secrets)]
    stop = stop_seconds(machine, variables)
    if stop > machine.service.stop_seconds:
        lines.append(f"TimeoutStopSec={stop}")
    heartbeat = environment.number(variables, "HEARTBEAT_SECONDS", 30)
    if heartbeat > 30:
        # As in the unit: a worker is replaced first, and its successor has a minute to start.
        lines.append(f"WatchdogSec={math.ceil(heartbeat) + 60}")
    return "\n".join(lines) + "\n"


def stop_seconds(machine: Machine, variables: dict[str, str]) -> int:
    """Derive how long a stop may take, as the service itself does; 10 s more end it by force."""
    parts = (
        environment.number(variables, "ACCEPT_SECONDS", 0),
        environment.number(variables, "LAME_DUCK_SECONDS", 3),
        environment.number(variables, "REQUEST_SECONDS", machine.service.request_seconds),
    )
    return math.ceil(sum(parts) + 3) + 10


def note(machine: Machine, run: Run) -> None:
    """Write down what is known of a run."""
    path = machine.paths.runs / str(run.number) / "run.json"
    machine.shell.write(path, json.dumps(vars(run), indent=2) + "\n")


def finish(machine: Machine, number: int) -> None:
    """Forget the secrets of a run that has stopped and everything else but the note of it."""
    directory = machine.paths.runs / str(number)
    for name in ("credentials", "environment"):
        machine.shell.remove(directory / name)
    machine.shell.remove(machine.paths.drop_in(machine.unit(number), "run.conf").parent)
    machine.shell.remove(machine.paths.gate / str(number))


def remove(machine: Machine, number: int) -> None:
    """Remove all traces of a run that has stopped."""
    finish(machine, number)
    machine.shell.remove(machine.paths.runs / str(number))


def release_of(machine: Machine, run: Run) -> Path:
    """Return the directory of a run's release."""
    return machine.paths.releases / run.release


def now() -> str:
    """Return the time, as notes have it."""
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
