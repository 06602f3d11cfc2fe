"""
A host: a machine, and on it a service as its operator has it: set up, deployed, and changed by its own program alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.jobs import Job
from tests.support.load import Answer, Lost
from tests.support.machine import Machine
from tests.support.processes import wait_until
from tests.support.releases import git
from tests.vm.edges import NGINX, Edge, ask
from tests.vm.operator import Link, Operator, Release


@dataclass
class Host:
    """
    A service on a machine. `release()` is its program, typed by root there.
    """

    machine: Machine
    operator: Operator
    domain: str

    @property
    def slug(self) -> str:
        return self.operator.slug

    @property
    def folder(self) -> str:
        return f"/root/{self.slug}"

    @property
    def program(self) -> str:
        return f"/opt/{self.slug}/release"

    # Its commands

    def push_project(self) -> None:
        """
        Give root the part of the project that a host needs, as deploy/remote sends it.
        """
        files = git(self.operator.project.path, "ls-files", "deploy").split("\n")
        for name in filter(None, files):
            self.machine.push(self.operator.project / name, f"{self.folder}/{name}")

    def setup(self, *words: str, check: bool = True) -> CompletedProcess[str]:
        """
        Run deploy/setup there.
        """
        __tracebackhide__ = True
        given = (self.domain, f"ops@{self.domain}") if self.operator.project.facts["has_edge"] else ()
        return self.machine.run("sh", "deploy/setup", *(words or given), folder=self.folder, check=check)

    def release(self, *words: str, check: bool = True, input: str | Path | None = None) -> CompletedProcess[str]:
        """
        Run deploy/host.py there, which is called `release`.
        """
        __tracebackhide__ = True
        return self.machine.run(self.program, *words, check=check, input=input, timeout=180)

    def start_release(self, *words: str, input: Path | None = None) -> Job:
        return self.machine.start(self.program, *words, input=input)

    def set_environment(self, variables: Mapping[str, str]) -> None:
        """
        Edit the environment file as an operator's editor does.
        """
        path = self.machine / f"etc/{self.slug}/environment"
        text = re.sub(rf"^({'|'.join(variables)})=.*\n", "", path.read_text(), flags=re.MULTILINE)
        path.write_text(text + "".join(f"{name}={value}\n" for name, value in variables.items()))

    def set_secret(self, name: str, value: str) -> None:
        self.release("secret", name, input=value)

    def deploy(self, release: Release, *words: str, check: bool = True) -> CompletedProcess[str]:
        __tracebackhide__ = True
        return self.release("deploy", release.name, *words, input=release.file, check=check)

    def start_deploy(self, release: Release, *words: str) -> Job:
        return self.start_release("deploy", release.name, *words, input=release.file)

    def deploy_edited(self, edits: Mapping[str, str] | Mapping[str, str | Link], *words: str) -> str:
        """
        Deploy a commit that changes or adds files; the name of its release.
        """
        __tracebackhide__ = True
        release = self.operator.edited(edits)
        self.deploy(release, *words)
        return release.name

    def drop_in(self, *lines: str) -> None:
        """
        Edit the runs' unit as `systemctl edit` does; without lines it is taken back.
        """
        path = self.machine / f"etc/systemd/system/{self.slug}@.service.d/override.conf"
        if lines:
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(["[Service]", *lines, ""]))
        elif path.exists():
            path.unlink()
            path.parent.rmdir()
        else:
            return
        self.machine.run("systemctl", "daemon-reload")

    # What is

    def unit(self, number: int) -> str:
        return f"{self.slug}@{number}.service"

    @property
    def pointer(self) -> str:
        """
        The drop-in that says which run is the current one.
        """
        return f"/etc/systemd/system/{self.slug}.socket.d/run.conf"

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
    def is_at_rest(self) -> bool:
        """
        Tell whether there is one run, and no command at work.
        """
        free = self.machine.run("flock", "--nonblock", f"/opt/{self.slug}/lock", "true", check=False).returncode == 0
        return free and len(self.runs) == 1

    @property
    def releases(self) -> list[str]:
        """
        The releases that are there, oldest first.
        """
        return sorted(path.name for path in (self.machine / f"opt/{self.slug}/releases").iterdir())

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
