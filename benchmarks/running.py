"""A service that is being measured."""

import http.client
import os
import signal
import socket
import subprocess
import time
from typing import IO, Self

from benchmarks.processes import children, cpu_seconds, memory_mib
from benchmarks.subjects import Subject

WORKERS = 2
_PATIENCE = 30.0


class Running:
    """
    A subject in a process group of its own, from its start to its stop.

    Standard output, where access lines go, is a file: a write that reaches the kernel, as under a service manager, without a
    reader that would take processor time from what is measured.
    """

    def __init__(self, subject: Subject, log: IO[bytes]) -> None:
        self.subject = subject
        self.port = _free_port()
        command = [str(subject.python), "-m", "gunicorn", "app.main:app", *subject.arguments]
        if subject.arguments:
            command += ["--bind", f"127.0.0.1:{self.port}", "--workers", str(WORKERS), "--keep-alive", "75"]
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment |= {"BIND": f"127.0.0.1:{self.port}", "WEB_CONCURRENCY": str(WORKERS), "ACCEPT_SECONDS": "0"}
        self._begun = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            cwd=subject.folder,
            env=environment | dict(subject.environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        finally:
            # Whatever is left of the group, after an orderly stop nothing.
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def url(self, path: str) -> str:
        """The address of a route."""
        return f"http://127.0.0.1:{self.port}{path}"

    def first_200(self, path: str) -> float:
        """Wait for the first 200 and return the seconds since the start."""
        while True:
            if self._get(path) == 200:
                return time.perf_counter() - self._begun
            if self._process.poll() is not None or time.perf_counter() - self._begun > _PATIENCE:
                raise RuntimeError(f"{self.subject.name} did not answer {path} in {_PATIENCE:.0f} s")
            time.sleep(0.005)

    def wait_for_workers(self, path: str) -> None:
        """Return when all workers are there and have answered for a while."""
        while len(self.workers) < WORKERS:
            time.sleep(0.01)
        for _ in range(200):
            self._get(path)

    @property
    def workers(self) -> list[int]:
        """The processes that serve; the master has next to nothing to do."""
        return children(self._process.pid)

    def cpu_seconds(self) -> float:
        """User and system time of all workers so far."""
        return cpu_seconds(self.workers)

    def memory_mib(self) -> tuple[float, float]:
        """Resident and proportional size of the largest worker."""
        return max(memory_mib(pid) for pid in self.workers)

    def _get(self, path: str) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
