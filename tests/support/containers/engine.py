"""
A real Docker Engine, as the tests of the image tier talk to it.

    engine.build(project, "h1/default")
    with engine.container("h1/default", "--read-only", command=["gunicorn", "app.main:app"]) as container:
        urllib.request.urlopen(f"http://127.0.0.1:{container.port(8000)}/ready")

A test that uses the fixture `engine` runs inside the engine's network: there 127.0.0.1 is where ports are published, containers
answer at their own addresses, and the internet is reached through the host. The rest of the host's network is not there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest

from tests.support import failure, processes
from tests.support.containers import daemon, stand_ins, tools
from tests.support.containers.compose import Compose
from tests.support.containers.container import Container
from tests.support.containers.daemon import Daemon
from tests.support.locks import locked
from tests.support.project import CACHE, Project

_CLONE_NEWNET = 0x40000000
#: Handed to builds where they are set: how this machine reaches the internet.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


class Engine:
    """
    Use as a context manager.
    """

    def __init__(self, folder: Path = CACHE / "engine") -> None:
        self.daemon = Daemon(folder)
        self._home: int | None = None
        self._closing = contextlib.ExitStack()
        self._provided: dict[str, str] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            closing.enter_context(self.daemon)
            self._folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="docker-client-")))
            client = shutil.which("docker", path=daemon.PLACES)
            assert client
            (self._folder / "bin").mkdir()
            (self._folder / "bin/docker").symlink_to(client)
            (self._folder / "config/cli-plugins").mkdir(parents=True)
            (self._folder / "config/config.json").write_text("{}")
            with locked(self.daemon.place / "sweep"):
                self._sweep()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._closing.close()

    def _sweep(self) -> None:
        """
        Remove what a run has left that was killed, and the images of runs before: the first one does so.
        """
        stamp = self.daemon.place / "swept"
        if stamp.exists() and stamp.read_text() == str(self.daemon.pid):
            return
        if containers := self.docker("ps", "--all", "--quiet").stdout.split():
            self.docker("rm", "--force", "--volumes", *containers)
        self.docker("network", "prune", "--force")
        self.docker("volume", "prune", "--force")
        tags = self.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
        kept = stand_ins.current()
        if old := [tag for tag in tags if tag not in kept and "<none>" not in tag]:
            self.docker("rmi", "--force", *old)
        self.docker("image", "prune", "--force")
        stamp.write_text(str(self.daemon.pid))

    # Its network

    def enter(self) -> None:
        """
        Put this thread into the engine's network, with what it starts from now on.
        """
        if self._home is None:
            self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            with self.daemon.network.open() as away:
                _set_network(away.fileno())

    def leave(self) -> None:
        """
        Bring this thread home.
        """
        if self._home is not None:
            _set_network(self._home)
            os.close(self._home)
            self._home = None

    # Its client

    @property
    def environment(self) -> Mapping[str, str]:
        """
        The variables by which a script finds this engine, and `docker compose`.
        """
        return {
            "PATH": f"{self._folder / 'bin'}:{daemon.PLACES}",
            "HOME": str(self._folder),
            "LC_ALL": "C.UTF-8",
            "DOCKER_HOST": f"unix://{self.daemon.socket}",
            "DOCKER_CONFIG": str(self._folder / "config"),
            # The default of newer clients.
            "DOCKER_BUILDKIT": "1",
            "BUILDKIT_PROGRESS": "plain",
            **{name: value for name, value in os.environ.items() if name in _PROXIES},
        }

    def docker(
        self,
        *words: str | Path,
        check: bool = True,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """
        Run the client to its end. With `check`, a failure shows what it said, and the end of the engine's log.
        """
        __tracebackhide__ = True
        return self.run("docker", *words, check=check, input=input, env=env, timeout=timeout)

    def run(
        self,
        *words: str | Path,
        folder: Path | None = None,
        check: bool = True,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command that uses the engine, for example a script of a rendered project.
        """
        __tracebackhide__ = True
        environment = {**self.environment, **(env or {})}
        title = shlex.join(map(str, words))
        program = shutil.which(str(words[0]), path=environment["PATH"]) or str(words[0])
        with subprocess.Popen(
            [program, *map(str, words[1:])],
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            cwd=folder,
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(input, timeout)
            except subprocess.TimeoutExpired:
                processes.kill_group(process.pid)
                output, errors = process.communicate()
                self._fail(f"`{title}` did not end within {timeout:g} s", output + errors)
            finally:
                # Whatever it started ends with it.
                processes.kill_group(process.pid)
        done = subprocess.CompletedProcess([program, *map(str, words[1:])], process.returncode, output, errors)
        if check and done.returncode:
            self._fail(f"`{title}` ended with {done.returncode}", done.stdout + done.stderr)
        return done

    def _fail(self, title: str, output: str) -> None:
        __tracebackhide__ = True
        lines = [failure.frame(output, title=title), failure.frame(self.daemon.log(), title="the engine", lines=15)]
        pytest.fail("\n".join(lines), pytrace=False)

    # What it makes

    def provide(self, *names: str) -> None:
        """
        Make images of these names available, as a registry would: `python:3.13-slim`, `postgres:17.6`, `caddy:2.11.7`.
        """
        __tracebackhide__ = True
        if wanted := [name for name in names if name not in self._provided]:
            self._provided.update(stand_ins.provide(self, wanted))

    def build(self, project: Project, tag: str, *options: str, **build_args: str) -> str:
        """
        Build a project's image by its own Dockerfile; the image's id.
        """
        __tracebackhide__ = True
        self.provide(f"python:{project.facts['python']}-slim")
        proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
        arguments = [f"--build-arg={name}={value}" for name, value in {**proxies, **build_args}.items()]
        self.docker("build", "--tag", tag, *arguments, *options, project.path, timeout=600)
        return self.docker("image", "inspect", "--format", "{{.Id}}", tag).stdout.strip()

    @contextlib.contextmanager
    def container(self, image: str, *options: str, command: Sequence[str] = ()) -> Iterator[Container]:
        """
        Start a container; it is removed at the end, with its volumes. What it exposes is published on 127.0.0.1.

        `options` are those of `docker run`. A failure within shows what it has logged.
        """
        __tracebackhide__ = True
        words = ["create", "--publish-all", "--pull=never", *options, image, *command]
        container = Container(self, self.docker(*words).stdout.strip())
        try:
            self.docker("start", container.id)
            yield container
        except BaseException as error:
            error.add_note(failure.frame(container.logs(), title=f"a container of {image}"))
            raise
        finally:
            self.docker("rm", "--force", "--volumes", container.id, check=False)

    def compose(self, project: Project, name: str, *, env: Mapping[str, str] | None = None) -> Compose:
        """
        A project's compose file under a name of its own, as a context manager.
        """
        self.furnish_compose()
        return Compose(self, project, name, env=env or {})

    def furnish_compose(self) -> None:
        """
        Give the client `docker compose`. Skips, naming what is missing.
        """
        plugin = self._folder / "config/cli-plugins/docker-compose"
        if not plugin.exists():
            plugin.symlink_to(tools.compose())


def _set_network(namespace: int) -> None:
    # os.setns is there from Python 3.12 on.
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
