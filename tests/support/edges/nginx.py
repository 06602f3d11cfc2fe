"""
nginx, as Debian 12 and Debian 13 have it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import processes
from tests.support.edges.edge import Edge
from tests.support.project import Project
from tests.support.rootfs import root
from tests.support.sandbox import Sandbox


@dataclass(frozen=True, kw_only=True)
class Nginx(Edge):
    """
    From the root file system of a suite; the lower one from this machine, when that has the same version.
    """

    suite: str
    version: str

    def root(self) -> Path:
        if shutil.which("nginx"):
            said = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr
            if f"nginx/{self.version}" in said:
                return Path("/")
        return root(self.suite)

    def check(self, sandbox: Sandbox) -> str:
        return sandbox.run("nginx", "-t", "-q").stdout

    def launch(self, sandbox: Sandbox) -> subprocess.Popen[bytes]:
        return sandbox.start("nginx", "-g", "daemon off;")

    def reload(self, sandbox: Sandbox) -> None:
        """
        Return when those that had read the old files accept nothing any more.
        """
        before = _workers(sandbox)
        sandbox.run("nginx", "-s", "reload")
        processes.wait_until(
            lambda: not before & _workers(sandbox) and bool(_workers(sandbox)), seconds=60, what="nginx has reloaded"
        )

    def access_log(self, sandbox: Sandbox) -> str:
        return sandbox.read(f"/var/log/nginx/{self.slug}.access.log")

    def balance(self, sandbox: Sandbox, project: Project, example: str, ports: Sequence[int]) -> None:
        text = project.read(f"deploy/nginx/balancing/{example}.conf")
        for number, port in enumerate(ports, start=1):
            assert f"10.0.0.1{number}:8000" in text
            text = text.replace(f"10.0.0.1{number}:8000", f"127.0.0.1:{port}")
        sandbox.write(f"/etc/nginx/snippets/{self.slug}-upstream.conf", text)
        self.reload(sandbox)


def _workers(sandbox: Sandbox) -> set[str]:
    """
    The workers that accept connections.
    """
    rows = sandbox.run("ps", "-eo", "pid=,args=").stdout.splitlines()
    return {row.split()[0] for row in rows if row.endswith("nginx: worker process")}


_CANNOT = {"active-health-check": "no active health check", "zstd": "zstd"}

EDGES = [
    Nginx(name="nginx-1.22", proxy="nginx", suite="bookworm", version="1.22", cannot=_CANNOT, is_oldest=True),
    Nginx(name="nginx-1.26", proxy="nginx", suite="trixie", version="1.26", cannot=_CANNOT),
]
