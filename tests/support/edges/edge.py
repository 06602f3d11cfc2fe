"""
One proxy in one version: where its binary comes from, how it is started, and what it cannot do.
"""

from __future__ import annotations

import re
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import processes, variants
from tests.support.project import Project
from tests.support.sandbox import Sandbox
from tests.support.variants import Variant

#: Not example.com, which is refused. `.test` is nobody's.
DOMAIN = "api.test"
#: Clients from here are a CDN, whose word about the client is taken (answer `trusted_edges`).
TRUSTED = "127.99.0.0/16"
#: The port on loopback, where a proxy cannot use a unix socket.
PORT = 8000

# A sandbox has no systemd. Whoever installs is told that the proxy runs and has read its files: the tests start and reload it.
_SYSTEMCTL = "#!/bin/sh\nexit 0\n"


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
        The variant to render: the default, with a time and a rate that tests need not wait long for.
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
        The address at which the service listens.
        """
        return PORT if self.on_loopback else f"/run/{self.slug}.sock"

    def root(self) -> Path:
        """
        The root file system it runs in: this machine's, or that of another Debian. May skip, naming what is missing.
        """
        return Path("/")

    def install(self, sandbox: Sandbox, project: Project, *, domain: str = DOMAIN) -> None:
        """
        Let the project's own `install` put its files where they belong, and check them.
        """
        __tracebackhide__ = True
        self.prepare(sandbox)
        self.put(sandbox, project, domain=domain)
        said = self.check(sandbox)
        assert not said, f"the check of {self.name} is not silent:\n{said}"

    def put(
        self, sandbox: Sandbox, project: Project, *, domain: str = DOMAIN, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """
        Do what `setup` does for the proxy.
        """
        __tracebackhide__ = True
        sandbox.write("/usr/local/sbin/systemctl", _SYSTEMCTL, 0o755)
        script = project / "deploy" / self.proxy / "install"
        return sandbox.run("sh", script, domain, f"operator@{domain}", check=check)

    def maintenance(self, sandbox: Sandbox, project: Project, state: str) -> None:
        """
        Type the line of the rendered chapter that switches it on or off.
        """
        sandbox.run("sh", "-c", documented(project, self.proxy, rf"(.+?) +# {state}"))

    def prepare(self, sandbox: Sandbox) -> None:  # noqa: B027 (nothing to do is an answer)
        """
        Put into the sandbox what a package or the administrator would have put there before.
        """

    @abstractmethod
    def check(self, sandbox: Sandbox) -> str:
        """
        Let the binary judge the files; fails the test when it refuses them. Returns what it complained about.
        """

    @abstractmethod
    def launch(self, sandbox: Sandbox) -> subprocess.Popen[bytes]:
        """
        Start it, in the foreground, as its unit would.
        """

    @abstractmethod
    def reload(self, sandbox: Sandbox) -> None:
        """
        Make it read its files again.
        """

    @abstractmethod
    def access_log(self, sandbox: Sandbox) -> str:
        """
        The lines of its access log.
        """

    def balance(self, sandbox: Sandbox, project: Project, example: str, ports: Sequence[int]) -> None:
        """
        Take an example of `balancing/` into use, its upstreams replaced by these ports of 127.0.0.1, and reload.
        """
        raise NotImplementedError(f"{self.name} has no examples")

    def start(self, sandbox: Sandbox) -> subprocess.Popen[bytes]:
        """
        Start it and wait until it answers on both ports.
        """
        __tracebackhide__ = True
        process = self.launch(sandbox)

        def listens() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {process.returncode}\n{sandbox.logs()}")
            with sandbox.inside():
                for port in (80, 443):
                    with socket.socket() as probe:
                        if probe.connect_ex(("127.0.0.1", port)):
                            return False
            return True

        processes.wait_until(listens, seconds=60, what=f"{self.name} listens")
        return process


def documented(project: Project, proxy: str, pattern: str) -> str:
    """
    The one command of a proxy's rendered chapter that matches, its continued lines joined.
    """
    text = project.read(f"deploy/{proxy}/README.md").replace("\\\n", "")
    found: list[str] = re.findall(rf"^    {pattern}$", text, re.MULTILINE)
    assert len(found) == 1, f"{pattern!r} is there {len(found)} times"
    return found[0]
