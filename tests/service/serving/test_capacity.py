"""The number of workers, on machines that are faked as files."""

import os
from pathlib import Path

import pytest

from serving import capacity
from serving.environment import BadVariable

GIB = 2**30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a machine with 8 CPUs and no limits at all."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    return tmp_path


def put(root: Path, files: dict[str, str]) -> None:
    """Write files as the kernel would show them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def workers(root: Path, **environ: str) -> int:
    """Return the number that was decided on."""
    return capacity.measure(environ, root).workers


def test_one_per_cpu_without_limits(machine: Path) -> None:
    """Without control groups (and on macOS) the CPUs count."""
    assert workers(machine) == 8


def test_macos_has_no_affinity(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's CPUs count on a system that knows no affinity."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert workers(machine) == 8


def test_web_concurrency_wins(machine: Path) -> None:
    """A number that somebody chose is taken as it is; an empty one is none."""
    put(machine, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000 100000"})
    assert workers(machine, WEB_CONCURRENCY="5") == 5
    assert workers(machine, WEB_CONCURRENCY="") == 1


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many"])
def test_web_concurrency_is_checked(machine: Path, value: str) -> None:
    """A value that is no positive whole number is refused by name."""
    with pytest.raises(BadVariable, match="WEB_CONCURRENCY"):
        workers(machine, WEB_CONCURRENCY=value)


def test_v2_quota_of_an_ancestor_counts(machine: Path) -> None:
    """The least quota on the way up wins, wherever it stands."""
    put(
        machine,
        {
            "proc/self/cgroup": "0::/system.slice/my.service",
            "sys/fs/cgroup/system.slice/cpu.max": "350000 100000",
            "sys/fs/cgroup/system.slice/my.service/cpu.max": "max 100000",
        },
    )
    assert workers(machine) == 3


def test_v2_namespace_reads_the_mount_root(machine: Path) -> None:
    """In a container the path in /proc may lead outside; our own group is the root there."""
    put(
        machine,
        {"proc/self/cgroup": "0::/../../elsewhere", "sys/fs/cgroup/cpu.max": "200000 100000"},
    )
    assert workers(machine) == 2


def test_less_than_one_cpu_is_one_worker(machine: Path) -> None:
    """Half a CPU still needs a process."""
    put(machine, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"})
    assert workers(machine) == 1


def test_v1_quota(machine: Path) -> None:
    """The older kernel interface says the same in two files, and -1 for no quota."""
    put(
        machine,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n1:name=systemd:/",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us": "400000",
            "sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us": "100000",
        },
    )
    assert workers(machine) == 4


def test_memory_limit_clamps(machine: Path) -> None:
    """More workers than the memory limit has room for are not started, but always one."""
    put(machine, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": str(GIB // 2)})
    assert workers(machine) == int(512 * capacity.MEMORY_SHARE) // capacity.MIB_PER_WORKER == 3
    put(machine, {"sys/fs/cgroup/memory.max": str(2**20)})
    assert workers(machine) == 1


def test_v1_memory_without_limit(machine: Path) -> None:
    """The number that means "no limit" in the older interface is not taken for one."""
    put(
        machine,
        {
            "proc/self/cgroup": "9:memory:/a",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712",
        },
    )
    assert capacity.memory_limit(machine) is None
    put(machine, {"sys/fs/cgroup/memory/memory.limit_in_bytes": str(GIB)})
    assert capacity.memory_limit(machine) == GIB
