"""
A host: a machine, and on it a service as its operator has it: set up, deployed, and changed by the release tool alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.jobs import Job
from tests.support.load import Answer, Lost
from tests.support.machine import Machine
from tests.support.processes import wait_until
from tests.support.releases import git
from tests.vm.edges import NGINX, Edge, ask
from tests.vm.operator import TOOL, Operator


@dataclass
class Host:
    """
    A service on a machine. `release()` is the tool, typed by root in the project's folder.
    """

    machine: Machine
    operator: Operator
    domain: str
    normal: dict[str, float] = field(default_factory=dict)
    """The slowest answer while nothing happens, in seconds, by edge."""

    @property
    def slug(self) -> str:
        return self.operator.slug

    @property
    def folder(self) -> str:
        return f"/root/{self.slug}"

    # The tool

    def push_project(self) -> None:
        """
        Give root the project, as a clone has it.
        """
        files = git(self.operator.project.path, "ls-files").split("\n")
        for name in filter(None, files):
            self.machine.push(self.operator.project / name, f"{self.folder}/{name}")

    def start_release(self, *words: str) -> Job:
        return self.machine.start(*TOOL, *words, folder=self.folder)

    def release(self, *words: str, check: bool = True, input: str | None = None) -> CompletedProcess[str]:
        __tracebackhide__ = True
        return self.machine.run(*TOOL, *words, check=check, input=input, folder=self.folder, timeout=180)

    def setup(self, *words: str) -> CompletedProcess[str]:
        __tracebackhide__ = True
        given = (
            ["--domain", self.domain, "--email", f"ops@{self.domain}"]
            if self.operator.project.facts["has_edge"]
            else []
        )
        return self.release("setup", *given, *words)

    def set_environment(self, variables: Mapping[str, str]) -> None:
        """
        What an operator's editor does to the environment file.
        """
        path = self.machine / f"etc/{self.slug}/environment"
        text = re.sub(rf"^({'|'.join(variables)})=.*\n", "", path.read_text(), flags=re.MULTILINE)
        path.write_text(text + "".join(f"{name}={value}\n" for name, value in variables.items()))

    def set_secret(self, name: str, value: str) -> None:
        self.release("secret", "set", name, input=value)

    def push_artifact(self, artifact: Path) -> str:
        """
        Copy an artifact there; where it lies.
        """
        place = f"/root/{artifact.name}"
        if not (self.machine / place).exists():
            self.machine.push(artifact, place)
        return place

    def deploy(self, artifact: Path, *words: str, check: bool = True) -> CompletedProcess[str]:
        __tracebackhide__ = True
        return self.release("deploy", "--artifact", self.push_artifact(artifact), *words, check=check)

    def deploy_edited(self, edits: Mapping[str, str], *words: str) -> str:
        """
        Deploy a commit that changes or adds files; the name of its release.
        """
        __tracebackhide__ = True
        release, artifact = self.operator.edited(edits)
        self.deploy(artifact, *words)
        return release

    # What is

    def unit(self, number: int) -> str:
        return f"{self.slug}@{number}.service"

    @property
    def runs(self) -> list[int]:
        """
        The runs that systemd knows as active, or on their way.
        """
        words = ("systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating,deactivating")
        out = self.machine.run(*words, f"{self.slug}@*.service").stdout
        return sorted(int(number) for number in re.findall(rf"^{self.slug}@(\d+)\.service", out, re.MULTILINE))

    @property
    def run(self) -> int:
        """
        The one run that serves.
        """
        runs = self.runs
        assert len(runs) == 1, f"runs {runs}"
        assert self.machine.is_active(self.unit(runs[0]))
        return runs[0]

    @property
    def current(self) -> str:
        """
        The release of the run that serves.
        """
        link: Path = self.machine / f"opt/{self.slug}/runs/{self.run}/release"
        return Path(os.readlink(link)).name

    def ready_status(self, edge: Edge | None = None) -> int:
        """
        The status of /ready, 0 where nobody answers.
        """
        try:
            return self.ask("/ready", edge).status
        except (Lost, TimeoutError):
            return 0

    def wait_ready(self, *, seconds: float = 30) -> None:
        __tracebackhide__ = True
        wait_until(lambda: self.ready_status() == 200, seconds=seconds, what="/ready says 200")

    def ask(self, path: str, edge: Edge | None = None) -> Answer:
        """
        One request of somebody in the machine's network, through its proxy.
        """
        return ask((edge or NGINX).at(self), path)
