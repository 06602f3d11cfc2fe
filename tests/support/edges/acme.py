"""
A certificate authority in the sandbox, that proves who owns a name as Let's Encrypt does: Caddy's own.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import sys
from pathlib import Path

import pytest

from tests.support.edges.edge import DOMAIN
from tests.support.processes import wait_until
from tests.support.sandbox import Sandbox

NAME = "acme.test"
PORT = 5443
DIRECTORY = f"https://{NAME}:{PORT}/acme/local/directory"
#: Its root certificate, in the sandbox.
ROOT = "/var/lib/acme/pki/authorities/local/root.crt"

CONFIGURATION = f"""
{{
	admin off
	http_port 5080
	https_port {PORT}
	storage file_system /var/lib/acme
	skip_install_trust
}}
{NAME}:{PORT} {{
	tls internal
	acme_server
}}
"""


def caddy() -> str:
    """
    The path of a Caddy: the one of the tests' environment, or this machine's. Skips when there is none.
    """
    own = Path(sys.executable).with_name("caddy")
    found = str(own) if own.exists() else shutil.which("caddy")
    if found is None:
        pytest.skip("caddy is missing: it is the authority here")
    return found


def authority(sandbox: Sandbox) -> None:
    """
    Start it, with names for itself and for the service.
    """
    sandbox.write("/etc/hosts", f"127.0.0.1 localhost {NAME} {DOMAIN}\n")
    sandbox.write("/etc/acme/Caddyfile", CONFIGURATION)
    sandbox.start(caddy(), "run", "--config", "/etc/acme/Caddyfile", env={"HOME": "/root"})

    def serves() -> bool:
        with sandbox.inside(), socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", PORT)) == 0 and sandbox.path(ROOT).exists()

    wait_until(serves, seconds=60, what="the authority serves")


def is_certified(sandbox: Sandbox) -> bool:
    """
    Tell whether a browser that trusts the authority is content.
    """
    try:
        certificate(sandbox)
    except ssl.SSLError:
        return False
    return True


def new_certificate(sandbox: Sandbox, other_than: object = None) -> dict[str, object]:
    """
    The certificate of the authority, once it is served. After a reload old processes answer for another moment.
    """
    served: dict[str, object] = {}

    def is_new() -> bool:
        with contextlib.suppress(ssl.SSLError):
            served.update(certificate(sandbox))
        return bool(served) and served["bytes"] != other_than

    wait_until(is_new, seconds=60, what="a certificate of the authority is served")
    return served


def certificate(sandbox: Sandbox, *, trusted: bool = True) -> dict[str, object]:
    """
    The certificate of the service as a browser sees it that trusts the authority; without trust, as bytes alone.
    """
    context = ssl.create_default_context(cadata=sandbox.read(ROOT)) if trusted else ssl._create_unverified_context()
    with (
        sandbox.inside(),
        socket.create_connection(("127.0.0.1", 443), 10) as plain,
        context.wrap_socket(plain, server_hostname=DOMAIN) as encrypted,
    ):
        return dict(encrypted.getpeercert() or {}) | {"bytes": encrypted.getpeercert(binary_form=True)}
