"""
A rendered project's compose file, brought up by a real Compose and taken down without a trace.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import pytest

from tests.support import failure
from tests.support.containers.container import Container
from tests.support.project import Project

if TYPE_CHECKING:
    from tests.support.containers.engine import Engine


class Compose:
    """
    Use as a context manager: at the end it is taken down with its volumes, and nothing of it may be left.
    """

    def __init__(self, engine: Engine, project: Project, name: str, *, env: Mapping[str, str]) -> None:
        self.engine = engine
        self.project = project
        self.name = name
        self._env = {"COMPOSE_PROJECT_NAME": name, **env}

    @property
    def environment(self) -> Mapping[str, str]:
        """
        For scripts of the project that call `docker compose` themselves.
        """
        return {**self.engine.environment, **self._env}

    def run(
        self, *words: str, check: bool = True, input: str | None = None, timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """
        Run `docker compose` in the project's folder.
        """
        __tracebackhide__ = True
        return self.script("docker", "compose", *words, check=check, input=input, timeout=timeout)

    def script(
        self, *words: str, check: bool = True, input: str | None = None, timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command of the project, with this engine and this name.
        """
        __tracebackhide__ = True
        return self.engine.run(
            *words, folder=self.project.path, env=self._env, check=check, input=input, timeout=timeout
        )

    def containers(self, service: str) -> list[Container]:
        """
        The running containers of a service, oldest first.
        """
        ids = self.engine.docker(
            "ps",
            "--no-trunc",
            "--quiet",
            "--filter",
            self._mine(),
            "--filter",
            f"label=com.docker.compose.service={service}",
            "--filter",
            "label=com.docker.compose.oneoff=False",
        )
        return [Container(self.engine, id) for id in reversed(ids.stdout.split())]

    def container(self, service: str) -> Container:
        """
        The one container of a service.
        """
        (found,) = self.containers(service)
        return found

    def logs(self) -> str:
        return self.run("logs", "--no-color", "--tail=60", check=False).stdout

    def left(self) -> list[str]:
        """
        The parts of it that exist: containers, networks, volumes.
        """
        docker, mine = self.engine.docker, ("--filter", self._mine())
        return [
            *docker("ps", "--all", "--format", "container {{.Names}}", *mine).stdout.splitlines(),
            *docker("network", "ls", "--format", "network {{.Name}}", *mine).stdout.splitlines(),
            *docker("volume", "ls", "--format", "volume {{.Name}}", *mine).stdout.splitlines(),
        ]

    def _mine(self) -> str:
        return f"label=com.docker.compose.project={self.name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        __tracebackhide__ = True
        if error is not None:
            error.add_note(failure.frame(self.logs(), title=f"docker compose logs ({self.name})", lines=60))
        done = self.run("down", "--volumes", "--remove-orphans", "--timeout=5", check=False)
        left = self.left()
        if error is None and (done.returncode or left):
            pytest.fail(failure.frame(done.stdout + done.stderr, title=f"left behind: {left}"), pytrace=False)
