"""Whom the shared socket belongs to: the one place that says which run is the current one."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

from release.machine import Machine


def path(machine: Machine) -> Path:
    """The drop-in of the socket unit."""
    return machine.paths.drop_in(machine.socket, "run.conf")


def settings(machine: Machine, number: int | None) -> str:
    """Write what this host adds to the socket unit: its run, and where else it listens."""
    lines = ["# Written by the release tool.", "[Socket]"]
    if not machine.service.socket_path:
        lines += addresses(machine)
    if number is not None:
        # Whom a lone connection starts, when nobody serves.
        lines.append(f"Service={machine.unit(number)}")
    return "\n".join(lines) + "\n"


def addresses(machine: Machine) -> list[str]:
    """Write the addresses, where they are others than the rendered one."""
    port, listen = machine.host.port or machine.service.port, machine.host.listen
    if not listen and port == machine.service.port:
        return []
    lines = ["ListenStream="]
    if not (listen and ip_address(listen).is_unspecified):
        # Also where another address is named: the tool itself asks here.
        lines.append(f"ListenStream=127.0.0.1:{port}")
    if listen:
        host = f"[{listen}]" if ":" in listen else listen
        # At boot it may be there before the network is.
        lines += [f"ListenStream={host}:{port}", "FreeBind=yes"]
    return lines


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
