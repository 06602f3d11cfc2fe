"""Whom the shared socket belongs to: the one place that says which run is the current one."""

from __future__ import annotations

import re
from pathlib import Path

from release.machine import Machine


def path(machine: Machine) -> Path:
    """The drop-in of the socket unit."""
    return machine.paths.drop_in(machine.socket, "run.conf")


def settings(machine: Machine, number: int | None) -> str:
    """Write what this host adds to the socket unit: its run, and a port other than the rendered."""
    lines = ["# Written by the release tool.", "[Socket]"]
    port = machine.host.port
    if not machine.service.socket_path and port and port != machine.service.port:
        lines += ["ListenStream=", f"ListenStream=127.0.0.1:{port}"]
    if number is not None:
        # Whom a lone connection starts, when nobody serves.
        lines.append(f"Service={machine.unit(number)}")
    return "\n".join(lines) + "\n"


def owner(machine: Machine) -> int | None:
    """Return the number of the run that the socket belongs to."""
    try:
        text = path(machine).read_text()
    except OSError:
        return None
    pattern = rf"^Service={re.escape(machine.slug)}@(\d+)\.service$"
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) if found else None


def give(machine: Machine, number: int | None) -> None:
    """Give the socket to a run; systemd has to read its units afterwards."""
    machine.shell.write(path(machine), settings(machine, number))
