"""Measurements that are made once per start: memory, time to the first answer, time to render."""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks import wrk
from benchmarks.running import Running
from benchmarks.subjects import PING, Subject


@dataclass(frozen=True)
class Start:
    """
    One subject, alone on the machine.

    `resident` and `proportional` are MiB of the largest worker after a second of load; `first_200` is seconds from the start of
    the command to the first 200, the median of several.
    """

    name: str
    resident: float
    proportional: float
    first_200: float


def start(subject: Subject, log: IO[bytes], *, times: int = 3) -> Start:
    """Start a subject several times; measure its memory the last time."""
    seconds = []
    for _ in range(times):
        with Running(subject, log) as service:
            seconds.append(service.first_200(PING))
            service.wait_for_workers(PING)
            if len(seconds) == times:
                wrk.requests(service.url(PING), 1)
                resident, proportional = service.memory_mib()
    return Start(subject.name, resident, proportional, statistics.median(seconds))


@dataclass(frozen=True)
class Render:
    """Seconds: `copier copy` of the default as a command; then the sync with a warm cache; then the first 200."""

    copy: float
    sync: float
    first_200: float

    @property
    def total(self) -> float:
        """From the command to the first answer of the service."""
        return self.copy + self.sync + self.first_200


def render(source: Path, folder: Path, environ: dict[str, str], log: IO[bytes], *, times: int = 3) -> Render:
    """
    Render the default as a user does and bring it to its first answer, in development mode on the embedded database.

    The first round fills uv's cache and is not counted; resolving is part of the sync, because nothing is locked yet.
    """
    rounds: list[Render] = []
    for number in range(times + 1):
        project = folder / f"rendered-{number}"
        copier = (sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", str(source), str(project))
        copy = _timed(lambda command=copier: subprocess.run(command, check=True))  # type: ignore[misc]
        environment = environ | {"UV_PROJECT_ENVIRONMENT": str(project / ".venv"), "UV_COMPILE_BYTECODE": "0"}
        sync = _timed(
            lambda cwd=project, env=environment: subprocess.run(  # type: ignore[misc]
                ("uv", "sync", "--quiet"), cwd=cwd, env=env, check=True
            )
        )
        subject = Subject("default", project, project / ".venv" / "bin" / "python")
        with Running(subject, log) as service:
            rounds.append(Render(copy, sync, service.first_200("/ready")))
        shutil.rmtree(project)
    return sorted(rounds[1:], key=lambda one: one.total)[times // 2]


def _timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun
