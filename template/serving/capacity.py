"""How many workers: as many as the process has CPUs and memory for."""

import os
from dataclasses import dataclass
from pathlib import Path

from serving import cgroup
from serving.environment import Environment, text, whole

# A worker needs about 56 MiB when it has just started. The rest is room for what a service grows
# by: its own imports, pools, caches, and the bodies of the requests that are running.
MIB_PER_WORKER = 128

# What the workers together may take of the memory limit; the master and the page cache need some.
MEMORY_SHARE = 0.8


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

    limit = cgroup.memory_limit(root)
    if limit is not None:
        mib = limit // 2**20
        affordable = max(int(mib * MEMORY_SHARE) // MIB_PER_WORKER, 1)
        if affordable < workers:
            return Capacity(affordable, f"memory limit of {mib} MiB, {reason}")
    return Capacity(workers, reason)


def _cpus(root: Path) -> tuple[float, str]:
    quota = cgroup.cpu_quota(root)
    if hasattr(os, "sched_getaffinity"):
        cpus, source = len(os.sched_getaffinity(0)), "affinity"
    else:
        # macOS has neither affinity nor control groups.
        cpus, source = os.cpu_count() or 1, "machine"
    return (cpus, source) if quota is None or quota >= cpus else (quota, "cgroup quota")
