"""
Control groups of our own, in every hierarchy that Linux has mounted: the unified one, the old ones, or both.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from signal import SIGKILL

from tests.support import processes

#: A group is many processes, and the scheduler counts it as one: beside as many busy ones it would get a share of nothing.
#: By the file that says so: the unified hierarchy's, then the old one's.
WEIGHT = {"cpu.weight": 800, "cpu.shares": 8192}


def make(name: str) -> None:
    """
    Make the groups of a name; what an earlier test run has left in them ends.
    """
    remove(name)
    for place, options in _hierarchies().items():
        # A cpuset wants to be furnished before it takes processes: who needs one does that.
        if "cpuset" not in options:
            with contextlib.suppress(OSError):
                (place / name).mkdir()
        for file, weight in WEIGHT.items():
            if (path := place / name / file).exists():
                path.write_text(f"{weight}")


def inside(name: str) -> list[str]:
    """
    The words before a command that has it share the CPU of a group, in a group of its own below.
    """
    for place, options in _hierarchies().items():
        if (place / name).exists() and ("cpu" in options or (place / name / "cgroup.controllers").exists()):
            group = place / name / "commands"
            group.mkdir(exist_ok=True)
            return ["sh", "-c", f'echo 0 >{group}/cgroup.procs; exec "$@"', "sh"]
    return []


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


def _hierarchies() -> dict[Path, list[str]]:
    """
    The root of each that is mounted, with the options of its mount.
    """
    lines = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return {
        Path(place): options.split(",")
        for _, place, kind, options, *_ in lines
        if place.startswith("/sys/fs/cgroup") and kind in {"cgroup", "cgroup2"}
    }


def _members(folder: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    return []
