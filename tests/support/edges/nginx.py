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
from tests.support.house import House
from tests.support.project import Project
from tests.support.roots import root


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

    def check(self, house: House) -> str:
        return house.run("nginx", "-t", "-q").stdout

    def launch(self, house: House) -> subprocess.Popen[bytes]:
        return house.start("nginx", "-g", "daemon off;")

    def reload(self, house: House) -> None:
        """
        Return when those that had read the old files accept nothing any more.
        """
        before = _workers(house)
        house.run("nginx", "-s", "reload")
        processes.wait_until(
            lambda: not before & _workers(house) and bool(_workers(house)), seconds=60, what="nginx has reloaded"
        )

    def access_log(self, house: House) -> str:
        return house.read(f"/var/log/nginx/{self.slug}.access.log")

    def balance(self, house: House, project: Project, example: str, ports: Sequence[int]) -> None:
        text = project.read(f"deploy/nginx/balancing/{example}.conf")
        for number, port in enumerate(ports, start=1):
            assert f"10.0.0.1{number}:8000" in text
            text = text.replace(f"10.0.0.1{number}:8000", f"127.0.0.1:{port}")
        house.write(f"/etc/nginx/snippets/{self.slug}-upstream.conf", text)
        self.reload(house)


def _workers(house: House) -> set[str]:
    """
    The workers that accept connections.
    """
    rows = house.run("ps", "-eo", "pid=,args=").stdout.splitlines()
    return {row.split()[0] for row in rows if row.endswith("nginx: worker process")}


_CANNOT = {"active-health-check": "no active health check", "zstd": "zstd"}

EDGES = [
    Nginx(name="nginx-1.22", proxy="nginx", suite="bookworm", version="1.22", cannot=_CANNOT, is_oldest=True),
    Nginx(name="nginx-1.26", proxy="nginx", suite="trixie", version="1.26", cannot=_CANNOT),
]
