"""
A rendered project and its verbs, and the workshop that renders each variant once per test run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support import failure, processes, questions
from tests.support.locks import locked
from tests.support.service import Service
from tests.support.variants import Variant

#: Environments and locks outlive a test run: they are keyed by what they were made from.
CACHE = questions.ROOT / ".cache"
#: Folders that running a project leaves in it.
LITTER = {
    ".git",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".coverage",
    "uv.lock",
    "var",
}


def python() -> str:
    """
    The interpreter that rendered projects are installed for: STEADFAST_PYTHON, or the one that runs the tests.
    """
    return os.environ.get("STEADFAST_PYTHON") or str(getattr(sys, "_base_executable", sys.executable))


def uv() -> str:
    """
    The uv of this test run: the one that started it, or the one on PATH.
    """
    return os.environ.get("UV") or shutil.which("uv") or str(questions.ROOT / "scripts" / "uv")


class Project:
    """
    One rendered directory. Shared by the tests of a run, so: read only. `.copy()` gives one to edit.
    """

    def __init__(self, path: Path, variant: Variant, *, environment: Path | None = None) -> None:
        self.path = path
        self.variant = variant
        self._environment = environment

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __repr__(self) -> str:
        return f"<Project {self.variant.id} {self.path}>"

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.variant.facts

    @property
    def reproduce(self) -> str:
        """
        The command that renders the same project for a person.
        """
        tests = "ARGS=--tests " if (self / "tests" / "service").is_dir() else ""
        return f'make render {tests}OPTIONS="{self.variant.options}" DEST=/tmp/{self.variant.id}'

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def tree(self) -> list[str]:
        """
        The relative paths of all rendered files, sorted; what running left behind is not among them.
        """
        files = (path.relative_to(self.path) for path in self.path.rglob("*") if not path.is_dir())
        return sorted(path.as_posix() for path in files if not LITTER & set(path.parts))

    def copy(self, destination: Path) -> Project:
        """
        A private copy to edit; it shares the environment until `.sync()` finds other dependencies.
        """
        ignore = shutil.ignore_patterns(*(LITTER - {"uv.lock"}))
        shutil.copytree(self.path, destination, symlinks=True, ignore=ignore)
        return Project(destination, self.variant, environment=self._environment)

    # Its environment

    @property
    def venv(self) -> Path:
        """
        The environment that the dependencies are installed in. Projects with the same dependencies share one.
        """
        return self._environment or CACHE / "environments" / self.fingerprint

    @property
    def bin(self) -> Path:
        return self.venv / "bin"

    @property
    def fingerprint(self) -> str:
        """
        A hash of everything that decides what is installed.
        """
        config = tomllib.loads(self.read("pyproject.toml"))
        parts = [
            config["project"]["name"],
            config["project"].get("dependencies"),
            config["project"].get("requires-python"),
            config.get("dependency-groups"),
            config.get("tool", {}).get("uv"),
            python(),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """
        The environment its commands run in: nothing of the tests' own settings leaks into the service.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in {"HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "SHELL"}
            or name.startswith(("UV_", "PIP_", "SSL_", "HTTP_", "HTTPS_", "http", "NO_PROXY"))
        }
        return kept | {
            "PATH": f"{self.bin}:{Path(uv()).parent}:{os.environ.get('PATH', os.defpath)}",
            "UV_PROJECT_ENVIRONMENT": str(self.venv),
            "UV_PYTHON": python(),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            # Most of what mypy reads are the dependencies, the same in every project.
            "MYPY_CACHE_DIR": str(CACHE / "mypy" / os.environ.get("PYTEST_XDIST_WORKER", "alone")),
            **(extra or {}),
        }

    def sync(self) -> Project:
        """
        Install its dependencies as locked. The lock and the environment are made once and shared.
        """
        __tracebackhide__ = True
        fingerprint = self.fingerprint
        if self._environment and self._environment.name != fingerprint:
            self._environment = None
        lock = CACHE / "locks" / f"{fingerprint}.lock"
        done = self.venv / ".complete"
        with locked(CACHE / "locks" / f"{fingerprint}.guard"):
            if lock.exists():
                shutil.copy(lock, self / "uv.lock")
            else:
                self.run("uv", "lock")
                shutil.copy(self / "uv.lock", lock)
            if not done.exists():
                self.run("uv", "sync", "--frozen", "--compile-bytecode")
                done.touch()
        return self

    # Its commands

    def run(
        self,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 600,
        input: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command inside it. With `check`, a failure shows the end of its output and how to get there.
        """
        __tracebackhide__ = True
        words = [str(word) for word in command]
        if words[0] == "uv":
            words[0] = uv()
        with subprocess.Popen(
            words,
            cwd=self.path,
            env=self.environ(env),
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(input, timeout)
                outcome = f"ended with {process.returncode}"
            except subprocess.TimeoutExpired:
                outcome = f"did not end within {timeout:g} s"
            finally:
                # Whatever it started ends with it.
                processes.kill_group(process.pid)
            if outcome.startswith("did"):
                output, _ = process.communicate()
        done = subprocess.CompletedProcess(words, process.returncode, output)
        if check and done.returncode:
            pytest.fail(
                failure.report(
                    f"`{' '.join(str(word) for word in command)}` {outcome} in {self.path}",
                    variant=self.variant.id,
                    output=done.stdout,
                    reproduce=f"{self.reproduce} && cd /tmp/{self.variant.id} && {' '.join(words)}",
                ),
                pytrace=False,
            )
        return done

    def serve(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        workers: int = 2,
        listener: socket.socket | None = None,
        ready: str = "ready",
        seconds: float = 120,
    ) -> AbstractContextManager[Service]:
        """
        Start it by its production command (or another one) and wait until all workers are ready.

        Give `command` with `{port}` where the port goes when it does not read BIND. See Service for the rest.
        """
        return Service.of(self, command, env=env, workers=workers, listener=listener, ready=ready, seconds=seconds)
