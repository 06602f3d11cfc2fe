"""
Small verbs on operating-system processes and sockets, for Linux and macOS.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable


def free_port() -> int:
    """
    A TCP port on loopback that nobody listens on now.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listen(port: int = 0, backlog: int = 2048) -> socket.socket:
    """
    A listening socket on loopback, as systemd would hold it.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(backlog)
    return listener


def _table(column: str) -> dict[int, int]:
    """
    Process id → another id (`ppid`, `pgid`) of every process that is not a zombie.
    """
    out = subprocess.run(["ps", "-A", "-o", f"pid=,{column}=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 2) for line in out.splitlines())
    return {int(pid): int(other) for pid, other, state in rows if not state.startswith("Z")}


def children(pid: int) -> list[int]:
    """
    The living children of a process, oldest first.
    """
    return sorted(child for child, parent in _table("ppid").items() if parent == pid)


def group(pgid: int) -> list[int]:
    """
    The living members of a process group.
    """
    return sorted(pid for pid, owner in _table("pgid").items() if owner == pgid)


def alive(pid: int) -> bool:
    return pid in _table("ppid")


def kill_group(pgid: int) -> None:
    """
    Kill a process group; it is fine when it has gone already.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """
    Wait for a condition; raises TimeoutError that says what was waited for.
    """
    __tracebackhide__ = True
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
