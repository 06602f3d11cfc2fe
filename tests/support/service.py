"""
A running service: one process group on a free port, ready when all its workers are, always ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGTERM, Signals
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.support import failure, processes

if TYPE_CHECKING:
    from tests.support.project import Project

PRODUCTION = ("gunicorn", "app.main:app")

# The socket-passing protocol wants the receiver's own pid in LISTEN_PID, which only exists after the fork: a line of
# Python names itself, then becomes the server. The socket is file descriptor 3.
_PASS_SOCKET = """
import os, sys
passed = int(sys.argv[1])
if passed != 3:
    os.dup2(passed, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Service:
    """
    Use as a context manager, through `Project.serve()`.

    `ready` says what is waited for: "ready" (every worker runs and /ready answers 200), "answering" (every worker
    runs and /health answers: for a service whose database is down), "started" (nothing).
    """

    def __init__(
        self,
        project: Project,
        command: tuple[str, ...],
        *,
        env: Mapping[str, str] | None,
        workers: int,
        listener: socket.socket | None,
    ) -> None:
        self.project = project
        self.workers = workers
        self.port: int = listener.getsockname()[1] if listener else processes.free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory(prefix="service-")
        folder = Path(self._folder.name)
        self._out, self._err = folder / "stdout", folder / "stderr"
        # A Unix socket's path may be no longer than about 100 characters: hence not in pytest's own folders.
        self._notified = folder / "notify"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self._notified))
        self._notify.setblocking(False)
        self.notifications: list[str] = []

        words = [word.replace("{port}", str(self.port)) for word in command or PRODUCTION]
        if (program := project.bin / words[0]).exists():
            words[0] = str(program)
        self.command = tuple(words)
        if listener:
            words = [sys.executable, "-c", _PASS_SOCKET, str(listener.fileno()), *words]
        self._closing = contextlib.ExitStack()
        self.process = subprocess.Popen(
            words,
            cwd=project.path,
            env=project.environ(
                {
                    "BIND": f"127.0.0.1:{self.port}",
                    "WEB_CONCURRENCY": str(workers),
                    "NOTIFY_SOCKET": str(self._notified),
                    "PYTHONUNBUFFERED": "1",
                    # One client sends all the load of a test. Where nothing counts requests this is nothing.
                    "RATE_LIMIT_PER_SECOND": "0",
                    **(env or {}),
                }
            ),
            stdin=subprocess.DEVNULL,
            stdout=self._closing.enter_context(self._out.open("wb")),
            stderr=self._closing.enter_context(self._err.open("wb")),
            start_new_session=True,
            pass_fds=[listener.fileno()] if listener else [],
        )
        self.client = httpx2.Client(base_url=self.base_url, timeout=30)

    @classmethod
    @contextlib.contextmanager
    def of(
        cls,
        project: Project,
        command: tuple[str, ...],
        *,
        env: Mapping[str, str] | None = None,
        workers: int = 2,
        listener: socket.socket | None = None,
        ready: str = "ready",
        seconds: float = 120,
    ) -> Iterator[Service]:
        """
        Start, wait, hand over, and end it with everything it started, whatever happens.
        """
        __tracebackhide__ = True
        service = cls(project, command, env=env, workers=workers, listener=listener)
        try:
            if ready != "started":
                service.wait_ready(seconds=seconds, status=200 if ready == "ready" else None)
            yield service
        except BaseException as error:
            error.add_note(service.failure("the service, when this failed"))
            raise
        finally:
            service.close()

    # Its processes

    @property
    def pid(self) -> int:
        """
        The process that was started: the master.
        """
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """
        The living workers, oldest first.
        """
        return processes.children(self.pid)

    def members(self) -> list[int]:
        """
        Every living process of its group; orphans included.
        """
        return processes.group(self.pid)

    def signal(self, number: Signals, pid: int | None = None) -> None:
        """
        Send a signal to the master, or to one of its workers.
        """
        os.kill(pid or self.pid, number)

    def stop(self, number: Signals = SIGTERM, *, seconds: float | None = None) -> float:
        """
        Ask it to stop and wait for its end. Returns how many seconds it took; the exit code is `.returncode`.
        """
        __tracebackhide__ = True
        begun = time.monotonic()
        # Before anything is looked up: facts take a moment, in which others already ask what a stopping service says.
        self.signal(number)
        limit = seconds or self.project.facts["stop_seconds"]
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            pytest.fail(self.failure(f"did not stop within {limit:g} s"), pytrace=False)
        return time.monotonic() - begun

    @property
    def returncode(self) -> int | None:
        return self.process.poll()

    def close(self) -> None:
        """
        End what is left of it. Never fails, so that it can stand in every `finally`.
        """
        processes.kill_group(self.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.client.close()
        self._closing.close()
        self._notify.close()
        self._folder_logs = (self.stdout(), self.stderr())
        self._folder.cleanup()

    # Its readiness

    def wait_ready(self, *, seconds: float = 120, status: int | None = 200) -> None:
        """
        Wait until every worker serves. With status None any answer of /ready but "starting" will do.
        """
        __tracebackhide__ = True

        def is_ready() -> bool:
            if self.process.poll() is not None:
                pytest.fail(
                    self.failure(f"ended with {self.process.returncode} while starting"),
                    pytrace=False,
                )
            self.read_notifications()
            # One worker at most runs in the process that was started (plain uvicorn).
            if self.workers > 1 and len(self.worker_pids()) < self.workers:
                return False
            try:
                answer = httpx2.get(f"{self.base_url}/ready", timeout=5)
            except httpx2.TransportError:
                return False
            if status is None:
                return bool(answer.json()["status"] not in {"starting", "draining"})
            return answer.status_code == status

        try:
            processes.wait_until(is_ready, seconds=seconds, what="all workers ready")
            if (self.project / "serving").is_dir() and self._is_gunicorn():
                # The exact statement: sent once, when the last worker has finished its start.
                processes.wait_until(
                    lambda: "READY=1" in self.read_notifications(),
                    seconds=seconds,
                    what="READY=1 from the service",
                )
        except TimeoutError as error:
            pytest.fail(self.failure(str(error)), pytrace=False)

    def _is_gunicorn(self) -> bool:
        words = " ".join(self.command)
        return "gunicorn" in words and " -k " not in words and "worker_class" not in words

    def read_notifications(self) -> list[str]:
        """
        The lines it has sent to its NOTIFY_SOCKET so far.
        """
        with contextlib.suppress(BlockingIOError, OSError):
            while True:
                self.notifications += self._notify.recv(4096).decode().splitlines()
        return self.notifications

    # Its answers

    def get(self, path: str, **options: Any) -> httpx2.Response:
        """
        GET over a kept connection. The answer is returned whatever its status.
        """
        return self.client.get(path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self.client.request(method, path, **options)

    # Its words

    def stdout(self) -> str:
        """
        Its standard output: the access log.
        """
        return self._text(self._out, 0)

    def stderr(self) -> str:
        """
        Its standard error: everything else.
        """
        return self._text(self._err, 1)

    def logs(self) -> str:
        """
        Both streams, access lines last.
        """
        return self.stderr() + self.stdout()

    def access_lines(self) -> list[dict[str, Any]]:
        """
        The access log, parsed.
        """
        return [json.loads(line) for line in self.stdout().splitlines() if line.startswith("{")]

    def _text(self, path: Path, index: int) -> str:
        kept: tuple[str, str] | None = getattr(self, "_folder_logs", None)
        return kept[index] if kept else path.read_text(encoding="utf-8", errors="replace")

    def failure(self, what: str) -> str:
        """
        The framed report of a failure of this service.
        """
        return failure.report(
            what,
            variant=self.project.variant.id,
            output=self.logs(),
            reproduce=f"{self.project.reproduce} && cd /tmp/{self.project.variant.id} && make serve",
        )
