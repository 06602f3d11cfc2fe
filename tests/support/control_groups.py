"""
Control groups of our own, in every hierarchy that Linux has mounted: the unified one, the old ones, or both.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from signal import SIGKILL

from tests.support import processes


def make(name: str) -> None:
    """
    Make the groups of a name; what an earlier test run has left in them ends.
    """
    remove(name)
    for place in _hierarchies():
        with contextlib.suppress(OSError):
            (place / name).mkdir()


def remove(name: str) -> None:
    """
    Remove the groups of a name, and what is below and in them.
    """
    for group in (place / name for place in _hierarchies()):
        for path, _, _ in os.walk(group, topdown=False):
            folder = Path(path)
            for pid in _members(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)
            with contextlib.suppress(OSError, TimeoutError):
                processes.wait_until(lambda: not _members(folder), seconds=5, what="an empty group")  # noqa: B023
                folder.rmdir()


def _hierarchies() -> list[Path]:
    """
    The roots of those that take processes without further ado: a cpuset wants to be furnished first.
    """
    lines = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [
        Path(place)
        for _, place, kind, options, *_ in lines
        if place.startswith("/sys/fs/cgroup") and kind in {"cgroup", "cgroup2"} and "cpuset" not in options.split(",")
    ]


def _members(folder: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    return []
