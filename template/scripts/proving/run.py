"""One run of the production server, on a socket that outlives it, as systemd would start it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

START_SECONDS = 120
STOP_SECONDS = 120

# LISTEN_PID is the receiver's own, so somebody has to run in its process first. The socket is file
# descriptor 3.
_ACTIVATE = """
import os, sys
if (passed := int(sys.argv[1])) != 3:
    os.dup2(passed, 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "app.main:app"])
"""


class Failed(Exception):
    """The proof cannot go on; the message says why."""


class Run:
    """Started by its constructor; `started()` waits until all of its workers serve."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        environ: Mapping[str, str],
        listener: socket.socket,
    ) -> None:
        """`folder` is for its log, and must be its own."""
        folder.mkdir()
        self._log = folder / "log"
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(folder / "notify"))
        self._notifications.settimeout(0.1)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _ACTIVATE, str(listener.fileno())],
                cwd=root,
                env={**environ, "NOTIFY_SOCKET": str(folder / "notify")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[listener.fileno()],
            )

    def started(self) -> None:
        """Wait for READY=1, which the last worker to start sends; raises Failed."""
        self._wait(self._says_ready, START_SECONDS, "a worker is still starting")

    def stop(self) -> None:
        """Send SIGTERM and wait for the end; raises Failed unless it is a clean one."""
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._failed(f"still running {STOP_SECONDS} s after SIGTERM") from None
        if code != 0:
            raise self._failed(f"the exit code of a stop is {code}")

    def kill_a_worker(self) -> float:
        """Send SIGKILL to a worker; return the moment when nothing of it was left."""
        victim = children(self._process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        self._wait(lambda: not exists(victim), 10, "a worker does not die of SIGKILL")
        return time.monotonic()

    def end(self) -> None:
        """Leave nothing behind, whatever has happened."""
        # Everything of ours is in this group. (macOS says EPERM when all are zombies.)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._notifications.close()

    def _says_ready(self) -> bool:
        with contextlib.suppress(TimeoutError):
            return "READY=1" in self._notifications.recv(4096).decode().splitlines()
        return False

    def _wait(self, condition: Callable[[], Any], seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None:
                raise self._failed(f"it ended by itself, exit code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failed(f"after {seconds:g} s {otherwise}")
            time.sleep(0.01)

    def _failed(self, why: str) -> Failed:
        lines = self._log.read_text(errors="replace").splitlines()[-40:]
        return Failed("\n".join([*lines, why]))


def exists(pid: int) -> bool:
    """Tell whether a process is there, be it as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children(pid: int) -> list[int]:
    """Return the children of a process, the oldest first."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if listed.exists():
        return sorted(map(int, listed.read_text().split()))
    # macOS.
    table = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True)
    pairs = (map(int, line.split()) for line in table.splitlines())
    return sorted(child for child, parent in pairs if parent == pid)
