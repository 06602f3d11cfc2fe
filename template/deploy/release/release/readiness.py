"""What `/ready` says, asked on the shared socket."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass, field

from release.machine import Machine

SECONDS = 5


@dataclass(frozen=True)
class Readiness:
    """An answer of `/ready`."""

    status: int
    """0: there was none."""
    said: str
    missing: list[str] = field(default_factory=list)
    """The checks that make it unready."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def connection(machine: Machine) -> http.client.HTTPConnection:
    """Return a connection to whoever serves, past the proxy."""
    if machine.service.socket_path:
        return _Connection(str(machine.paths.root / machine.service.socket_path.lstrip("/")))
    port = machine.host.port or machine.service.port
    return http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)


def ask(machine: Machine) -> Readiness:
    """Ask whoever serves."""
    asked = connection(machine)
    try:
        asked.request("GET", "/ready", headers={"Connection": "close"})
        response = asked.getresponse()
        return parse(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        return Readiness(0, str(error) or type(error).__name__)
    finally:
        asked.close()


def parse(status: int, body: bytes) -> Readiness:
    """Read an answer."""
    try:
        values = json.loads(body)
        down = [
            name
            for name, check in sorted(values["checks"].items())
            if check["required"] and check["status"] != "up"
        ]
        said = str(values["status"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return Readiness(status, f"answers {status}")
    return Readiness(status, f"{said} ({', '.join(down)} down)" if down else said, down)
