"""Limits that the kernel's control groups put on this process. Linux; elsewhere there are none."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# cgroup v1 writes "no limit" as the largest multiple of the page size that fits into 63 bits.
_V1_UNLIMITED = 1 << 60


def cpu_quota(root: Path = Path("/")) -> float | None:
    """
    Return how many CPUs' worth of time the process may use, or None without a quota.

    Nothing in Python knows about it: with half a CPU of quota `os.cpu_count()` still says 2. A
    quota anywhere above us counts, so the least of all ancestors is the answer.
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
