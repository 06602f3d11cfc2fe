"""The service's address and port, where the proxy cannot use a unix socket."""

from __future__ import annotations

import json
import socket
from ipaddress import ip_address

from release.machine import Machine
from release.say import Problem

# Where another free one is looked for.
SPAN = 100


def refuse_taken(machine: Machine, port: int) -> None:
    """Raise a Problem when somebody else has the port; it names one that is free."""
    if not 1024 <= port <= 65535:
        raise Problem(f"{port} is not a port for a service; 1024 to 65535 are")
    others = of_others(machine)
    if port in others:
        raise Problem(
            f"port {port} belongs to the service {others[port]}; "
            f"free is --port {next_free(port, others)}"
        )
    if machine.systemd.is_active(machine.socket):
        return  # It is ours.
    if taken(port):
        raise Problem(
            f"port {port} is taken by another program (to see which: ss -ltnp 'sport = :{port}'); "
            f"free is --port {next_free(port, others)}"
        )


def refuse_address(machine: Machine, address: str) -> None:
    """Raise a Problem for an address that is none, or that nobody needs."""
    if not address:
        return
    try:
        ip_address(address)
    except ValueError:
        raise Problem(f"{address} is not an address; type one such as 10.0.0.5") from None
    if machine.service.proxy != "none":
        raise Problem(f"{machine.service.proxy} connects on this machine; leave --listen out")


def of_others(machine: Machine) -> dict[int, str]:
    """List the ports of other services of this kind, which may be stopped just now."""
    found = {}
    for path in machine.paths.home.parent.glob("*/host.json"):
        if path == machine.paths.host:
            continue
        try:
            port = json.loads(path.read_text())["port"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if port:
            found[int(port)] = path.parent.name
    return found


def next_free(port: int, others: dict[int, str]) -> int:
    """Find a port that nobody has."""
    for other in range(port + 1, port + SPAN):
        if other not in others and not taken(other):
            return other
    raise Problem(f"no port from {port} to {port + SPAN} is free; name one with --port")


def taken(port: int) -> bool:
    """Tell whether somebody listens, by trying to."""
    with socket.socket() as tried:
        # As systemd does: connections that have ended are no obstacle.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
            tried.listen(1)
        except OSError:
            return True
    return False
