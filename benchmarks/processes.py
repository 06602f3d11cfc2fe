"""Processes as Linux shows them: CPU time, memory, children."""

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_MIB = 1024


def children(pid: int) -> list[int]:
    """The direct children of a process: the workers of a gunicorn master."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pids: list[int]) -> float:
    """User and system time that the processes have used so far, all threads; the clock ticks at 10 ms."""
    ticks = 0
    for pid in pids:
        # The second field is the command in brackets and may hold blanks, so count from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def memory_mib(pid: int) -> tuple[float, float]:
    """
    Resident and proportional set size of one process in MiB.

    The proportional one counts a page shared by n processes as 1/n, so it is read while no other service runs.
    """
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        sizes[name] = int(value.split()[0])
    return sizes["Rss"] / _MIB, sizes["Pss"] / _MIB
