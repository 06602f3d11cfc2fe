"""
One proxy in one version: where its binary comes from, how it is started, and what it cannot do.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import processes, variants
from tests.support.house import House
from tests.support.project import Project
from tests.support.variants import Variant

#: Not example.com, which is refused. `.test` is nobody's.
DOMAIN = "api.test"
#: Clients from here are a CDN, whose word about the client is taken (answer `trusted_edges`).
TRUSTED = "127.99.0.0/16"
#: The port on loopback, where a proxy cannot use a unix socket.
PORT = 8000

# What `release setup` does for the proxy, without the rest of it.
_INSTALL = """
import sys
from pathlib import Path
deploy, proxy, slug, domain, port = sys.argv[1:]
sys.path.insert(0, f"{deploy}/release")
from release.edges import Site, load
edge, site = load(proxy), Site(slug, domain, f"operator@{domain}", int(port), Path(deploy))
kept = {path: text for path, text in edge.keep(site).items() if not Path(path).exists()}
for path, text in {**edge.files(site), **kept}.items():
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    Path(path).chmod(0o600 if path.endswith("privkey.pem") else 0o644)
if problems := edge.requirements(site):
    sys.exit("; ".join(problems))
"""
# Its verbs that act on the host.
_CALL = """
import argparse, subprocess, sys
from pathlib import Path
deploy, proxy, slug, domain, port, verb, *words = sys.argv[1:]
sys.path.insert(0, f"{deploy}/release")
from release.edges import Site, load
edge, site = load(proxy), Site(slug, domain, f"operator@{domain}", int(port), Path(deploy))
if verb == "maintenance":
    marker = Path(f"/etc/{slug}/maintenance")
    marker.touch() if words == ["on"] else marker.unlink(missing_ok=True)
    edge.maintenance(site, words == ["on"])
if verb == "requirements":
    print(*edge.requirements(site), sep="\\n", end="")
if verb == "tls":
    options = argparse.Namespace(email="", server=words[0], force=False)
    for step in edge.tls(site, options):
        print(step.text, flush=True)
        if step.command:
            subprocess.run(step.command, check=True)
"""


@dataclass(frozen=True, kw_only=True)
class Edge(ABC):
    """
    `cannot` names what it is unable to do (a word that tests know), with the words by which the rendered README says so.
    """

    name: str
    proxy: str
    cannot: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: Answers beside the proxy.
    answers: Mapping[str, Any] = field(default_factory=dict, hash=False)
    on_loopback: bool = False
    #: Whether it is the oldest version that is supported, and not the newest.
    is_oldest: bool = False

    @property
    def variant(self) -> Variant:
        """
        What is rendered: the default, with a time and a rate that tests need not wait long for.
        """
        short = {"database": "none", "domain": DOMAIN, "request_budget": "6"}
        few = {"edge_rate": "5", "trusted_edges": TRUSTED}
        return variants.of(**{**short, **few, "proxy": self.proxy, **self.answers})

    @property
    def slug(self) -> str:
        return str(self.variant.facts["project_slug"])

    @property
    def address(self) -> str | int:
        """
        Where the service listens.
        """
        return PORT if self.on_loopback else f"/run/{self.slug}.sock"

    def root(self) -> Path:
        """
        The root file system it runs in: this machine's, or that of another Debian. May skip, naming what is missing.
        """
        return Path("/")

    def install(self, house: House, project: Project, *, domain: str = DOMAIN, slug: str | None = None) -> None:
        """
        Write its files where they belong, and check them.
        """
        __tracebackhide__ = True
        self.prepare(house)
        house.run(*self._tool(_INSTALL, project, domain, slug))
        said = self.check(house)
        assert not said, f"the check of {self.name} is not silent:\n{said}"

    def maintenance(self, house: House, project: Project, state: str) -> None:
        """
        What `release maintenance on|off` does.
        """
        house.run(*self._tool(_CALL, project, DOMAIN), "maintenance", state)

    def requirements(self, house: House, project: Project, **env: str) -> list[str]:
        """
        What `release setup` finds missing.
        """
        return house.run(*self._tool(_CALL, project, DOMAIN), "requirements", env=env).stdout.splitlines()

    def tls(self, house: House, project: Project, server: str, env: Mapping[str, str]) -> str:
        """
        What `release tls --server URL` does, and what it says.
        """
        return house.run(*self._tool(_CALL, project, DOMAIN), "tls", server, env=env).stdout

    def _tool(self, code: str, project: Project, domain: str, slug: str | None = None) -> list[str]:
        python = sys.executable if self.root() == Path("/") else "/usr/bin/python3"
        return [python, "-c", code, str(project / "deploy"), self.proxy, slug or self.slug, domain, str(PORT)]

    def prepare(self, house: House) -> None:  # noqa: B027 (nothing to do is an answer)
        """
        Put into the house what a package or the administrator would have put there before.
        """

    @abstractmethod
    def check(self, house: House) -> str:
        """
        Let the binary judge the files; fails the test when it refuses them. Returns what it complained about.
        """

    @abstractmethod
    def launch(self, house: House) -> subprocess.Popen[bytes]:
        """
        Start it, in the foreground, as its unit would.
        """

    @abstractmethod
    def reload(self, house: House) -> None:
        """
        Make it read its files again.
        """

    @abstractmethod
    def access_log(self, house: House) -> str:
        """
        The lines of its access log.
        """

    def balance(self, house: House, project: Project, example: str, ports: Sequence[int]) -> None:
        """
        Take an example of `balancing/` into use, its upstreams replaced by these ports of 127.0.0.1, and reload.
        """
        raise NotImplementedError(f"{self.name} has no examples")

    def start(self, house: House) -> subprocess.Popen[bytes]:
        """
        Start it and wait until it answers on both ports.
        """
        __tracebackhide__ = True
        process = self.launch(house)

        def listens() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {process.returncode}\n{house.logs()}")
            with house.inside():
                for port in (80, 443):
                    with socket.socket() as probe:
                        if probe.connect_ex(("127.0.0.1", port)):
                            return False
            return True

        processes.wait_until(listens, seconds=60, what=f"{self.name} listens")
        return process
