"""
The life of a Docker Engine: the first test worker that needs it starts it, and it ends with the last one.

    with Daemon(CACHE / "engine") as daemon:
        daemon.socket

It stands in namespaces of its own: mounts, processes, network. So nothing of it meets an engine that runs already (bridges,
rules of the firewall, ports), and everything it made ends with its first process, however the tests end. What it leaves is its
folder of data, which keeps the layers for the next run; it can be deleted at any time.

Its users hold a shared lock on a file; the engine process, a process of its own (engine_process.py), waits for an exclusive
one. The kernel releases the lock of a user that has died.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import pytest

from tests.support import failure, processes, questions
from tests.support.locks import locked

PLACES = os.pathsep.join(["/usr/sbin", "/usr/bin", "/sbin", "/bin"])
#: Program → the package of Debian that has it.
PROGRAMS = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "ip": "iproute2",
    "iptables": "iptables",
    "setpriv": "util-linux",
    "slirp4netns": "slirp4netns",
    "unshare": "util-linux",
}


def missing() -> list[str]:
    """
    The programs and rights that this machine lacks to start one.
    """
    lacking = [] if os.geteuid() == 0 else ["root"]
    lacking += [name for name in PROGRAMS if not shutil.which(name, path=PLACES)]
    return lacking if Path("/dev/net/tun").exists() else [*lacking, "/dev/net/tun"]


class Daemon:
    """
    Use as a context manager. `folder` keeps the data; the same folder is the same engine.
    """

    def __init__(self, folder: Path) -> None:
        if absent := missing():
            pytest.skip(f"{', '.join(absent)} missing: no container engine can be started (scripts/install-tools)")
        self.folder = folder
        # A socket's path is short, and what lies there is worth nothing after a reboot.
        self.name = f"steadfast-engine-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        self.place = Path(tempfile.gettempdir()) / self.name
        self._user: int | None = None

    @property
    def socket(self) -> Path:
        return self.place / "docker.sock"

    @property
    def network(self) -> Path:
        """
        Its network, to be entered.
        """
        return Path(f"/proc/{self.pid}/ns/net")

    @property
    def pid(self) -> int:
        """
        Its first process, as the host sees it.
        """
        return int((self.place / "pid").read_text())

    def log(self) -> str:
        path = self.place / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        self.place.mkdir(mode=0o700, exist_ok=True)
        with locked(self.place / "guard"):
            if not self._lock("users", fcntl.LOCK_SH):
                self._wait_gone()
                assert self._lock("users", fcntl.LOCK_SH), "an engine that has just ended"
            if not self.is_running():
                self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """
        Let go of it. The last one waits until it has gone.
        """
        if self._user is None:
            return
        os.close(self._user)
        self._user = None
        # Free for an exclusive lock: nobody uses it. Not even for a shared one: the engine process has noticed already.
        if self._can_lock("users", fcntl.LOCK_EX) or not self._can_lock("users", fcntl.LOCK_SH):
            self._wait_gone()

    def is_running(self) -> bool:
        """
        Tell whether there is an engine process.
        """
        return not self._can_lock("alive", fcntl.LOCK_EX)

    def _start(self) -> None:
        __tracebackhide__ = True
        state = self.place / "state"
        state.unlink(missing_ok=True)
        with (self.place / "log").open("wb") as log:
            engine_process = [sys.executable, "-m", "tests.support.containers.engine_process"]
            subprocess.run(
                ["setsid", "--fork", *engine_process, self.name, str(self.place), str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=questions.ROOT,
                env={"PATH": PLACES, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
                check=True,
            )
        processes.wait_until(state.exists, seconds=90, what=f"the engine is up ({self.place / 'log'})")
        if state.read_text() != "ready":
            self.close()
            hint = f"the engine did not start; its data can be deleted: rm -rf {self.folder}"
            pytest.fail(failure.frame(self.log(), title=hint), pytrace=False)

    def _wait_gone(self) -> None:
        processes.wait_until(lambda: not self.is_running(), seconds=60, what="the engine has ended")

    def _lock(self, name: str, kind: int) -> bool:
        """
        Lock a file, if that is possible now, and keep it.
        """
        handle = os.open(self.place / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._user = handle
        return True

    def _can_lock(self, name: str, kind: int) -> bool:
        with (self.place / name).open("a") as file:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True
