"""Who the client is to the application: its true address, whatever it says of itself."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import ssl
import time
from collections.abc import Iterator

from release import runs
from release.doctor import Finding, fail, ok, warn
from release.machine import Machine

TITLE = "client"

# Of a network that is for documentation only: nobody has it.
PRETENDED = "192.0.2.66"
SECONDS = 5


def check(machine: Machine) -> Iterator[Finding]:
    """Send a request through the proxy that lies about where it comes from; read the access log."""
    if runs.current(machine) is None:
        return
    if machine.edge.name == "none":
        yield ok("compare `client` in the access log with your own address, through the balancer")
        return
    here = own_address()
    request_id = f"doctor-{secrets.token_hex(8)}"
    status = ask(machine.site().domain, here, request_id)
    line = find(machine, request_id)
    if line is None:
        yield warn(
            f"the request through the proxy was answered {status} and is not in the access log",
            "is maintenance on, or LOG_LEVEL above info? The proxy's error log may tell more",
        )
    else:
        yield judge(line.get("client"), here)


def judge(client: object, here: str) -> Finding:
    """Judge what the application took for the client's address."""
    if client == here:
        return ok(f"the app sees the true address ({here}), not the one a client pretends")
    if client == PRETENDED:
        return fail(
            "the app believes the X-Forwarded-For of anybody",
            f"unless {here} is one of the trusted ranges: look through the proxy's files, and "
            "TRUSTED_PROXIES",
        )
    return fail(
        f"the app takes {client} for the client's address, which is {here}",
        "TRUSTED_PROXIES has to hold the proxy: unix for a unix socket, 127.0.0.1 for loopback",
    )


def own_address() -> str:
    """Return an address of this host that is not loopback's, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((PRETENDED, 9))  # Nothing is sent: this only asks for the route.
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def ask(domain: str, here: str, request_id: str) -> int:
    """Send a request to the proxy on this host; return the status."""
    # Whose certificate it is does not matter here.
    context = ssl._create_unverified_context()
    connection = _To(here, domain, context)
    try:
        connection.request(
            "GET",
            "/doctor",
            headers={"Host": domain, "X-Request-ID": request_id, "X-Forwarded-For": PRETENDED},
        )
        return connection.getresponse().status
    finally:
        connection.close()


class _To(http.client.HTTPSConnection):
    """HTTPS to a name, at an address that DNS is not asked for."""

    def __init__(self, address: str, domain: str, context: ssl.SSLContext) -> None:
        super().__init__(domain, timeout=SECONDS)
        self._address = address
        self._wrap = context.wrap_socket
        self._domain = domain

    def connect(self) -> None:
        plain = socket.create_connection((self._address, 443), SECONDS)
        self.sock = self._wrap(plain, server_hostname=self._domain)


def find(machine: Machine, request_id: str) -> dict[str, object] | None:
    """Find the access line of a request; the journal takes a moment to have it."""
    unit = f"--unit={machine.slug}@*.service"
    command = ["journalctl", unit, "--since=-1min", "--output=cat", "--no-pager", "--lines=5000"]
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for line in machine.shell.ask(command).stdout.splitlines():
            if request_id in line and (parsed := parse(line)) is not None:
                return parsed
        time.sleep(0.1)
    return None


def parse(line: str) -> dict[str, object] | None:
    """Read a line of the log, if it is an access line in JSON."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and "client" in values else None
