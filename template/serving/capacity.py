"""The number of workers: as many as the process has CPUs and memory for."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from serving.environment import Environment, text, whole

# A worker needs about 56 MiB when it has just started. The rest is room for what a service grows
# by: its own imports, pools, caches, and the bodies of the requests that are running.
MIB_PER_WORKER = 128

# What the workers together may take of the memory limit; the master and the page cache need some.
MEMORY_SHARE = 0.8

# cgroup v1 writes "no limit" as the largest multiple of the page size that fits into 63 bits.
_V1_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Capacity:
    """A number of workers, and why."""

    workers: int
    reason: str


def measure(environ: Environment, root: Path = Path("/")) -> Capacity:
    """
    Decide on the number of workers.

    WEB_CONCURRENCY wins. Otherwise one worker per CPU the process may really use, not the 2N+1 of
    older guides: an async worker overlaps waiting by itself, and each one more costs memory and
    connections of its own. `root` is where `proc` and `sys` are found, for tests.
    """
    if text(environ, "WEB_CONCURRENCY", ""):
        workers = whole(environ, "WEB_CONCURRENCY", 1, least=1)
        return Capacity(workers, f"WEB_CONCURRENCY={workers}")

    cpus, source = _cpus(root)
    workers = max(int(cpus), 1)
    reason = f"{cpus:g} CPUs ({source})"

    limit = memory_limit(root)
    if limit is not None:
        mib = limit // 2**20
        affordable = max(int(mib * MEMORY_SHARE) // MIB_PER_WORKER, 1)
        if affordable < workers:
            return Capacity(affordable, f"memory limit of {mib} MiB, {reason}")
    return Capacity(workers, reason)


def _cpus(root: Path) -> tuple[float, str]:
    quota = cpu_quota(root)
    if hasattr(os, "sched_getaffinity"):
        cpus, source = len(os.sched_getaffinity(0)), "affinity"
    else:
        # macOS has neither affinity nor control groups.
        cpus, source = os.cpu_count() or 1, "machine"
    return (cpus, source) if quota is None or quota >= cpus else (quota, "cgroup quota")


def cpu_quota(root: Path = Path("/")) -> float | None:
    """
    Return how many CPUs' worth of time the process may use, or None without a quota.

    Nothing in Python knows about it: with half a CPU of quota `os.cpu_count()` still says 2. A
    quota anywhere above us counts, so the least of all ancestors is the answer. Only Linux has
    control groups; elsewhere there is no quota.
    """
    quotas = []
    for directory in _directories(root, "cpu"):
        # v2: "50000 100000" or "max 100000"; v1 has the two numbers in two files, -1 for none.
        words = _read(directory / "cpu.max").split() or [
            _read(directory / "cpu.cfs_quota_us"),
            _read(directory / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the memory limit of the process in bytes, or None without one."""
    limits = []
    for directory in _directories(root, "memory"):
        value = _read(directory / "memory.max") or _read(directory / "memory.limit_in_bytes")
        if value.isdigit() and int(value) < _V1_UNLIMITED:
            limits.append(int(value))
    return min(limits, default=None)


def _directories(root: Path, controller: str) -> Iterator[Path]:
    """
    Yield where the limits of one controller may stand: our group, its ancestors, the mount root.

    Inside a cgroup namespace the path is relative to a root we do not see, or begins with `..`;
    then only the mount root, which is our own group there, has the files.
    """
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            # v2, alone or beside v1 ("hybrid").
            tops = [mounts, mounts / "unified"]
        elif controller in controllers.split(","):
            tops = [mounts / controllers, mounts / controller]
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        ancestors = [] if ".." in group.parts else [group, *group.parents]
        for top in tops:
            yield from (top / ancestor for ancestor in ancestors)
            yield top


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
