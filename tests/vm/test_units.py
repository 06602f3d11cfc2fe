"""
The units, as installed, judged by systemd itself.
"""

from __future__ import annotations

import re

import pytest

from tests.vm.host import Host

#: From here on `systemd-analyze security` calls it exposed a little; a default service is at 9.6.
EXPOSURE = 2.0


def units(host: Host) -> list[str]:
    """
    The units that set-up has installed, with an instance where one is needed.
    """
    folder = host.machine / "etc/systemd/system"
    names = [path.name for path in folder.glob(f"{host.slug}*") if path.is_file() and not path.is_symlink()]
    assert len(names) >= 3, names
    return sorted(name.replace("@.", f"@{host.run}.") for name in names)


def test_systemd_has_nothing_to_say_about_them(host: Host) -> None:
    """
    No unknown setting, no missing file: also in the oldest systemd that is supported.
    """
    done = host.machine.run("systemd-analyze", "verify", *units(host), check=False)
    assert done.returncode == 0, done.stdout
    ours = [line for line in done.stdout.splitlines() if host.slug in line]
    assert not ours, ours
    warned = host.machine.journal("--unit=init.scope", "--priority=warning", f"--grep={host.slug}")
    assert not re.findall(r"/etc/systemd/system/\S+:\d+: .*", warned)


def test_they_are_walled_in(host: Host) -> None:
    """
    A unit that runs the service's code is exposed as little as it can be.
    """
    services = [name for name in units(host) if name.endswith(".service")]
    assert f"{host.slug}@{host.run}.service" in services
    for name in services:
        out = host.machine.run("systemd-analyze", "security", "--no-pager", name).stdout
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", out)
        assert found, out
        assert float(found[1]) < EXPOSURE, "\n".join(line for line in out.splitlines() if "✗" in line)


def test_what_the_walls_let_through(host: Host) -> None:
    """
    The service writes to its state directory, and nowhere else; it reads no secret but its own.
    """
    inside = "import os, pathlib, sys; " + "; ".join(
        [
            "tried = {}",
            "write = lambda p: pathlib.Path(p).write_text('x')",
            "read = lambda p: pathlib.Path(p).read_bytes()",
        ]
    )
    attempts = {
        f"/var/lib/{host.slug}/x": True,
        "/tmp/x": True,
        f"/opt/{host.slug}/x": False,
        f"/etc/{host.slug}/x": False,
        "/root/x": False,
    }
    for path, allowed in attempts.items():
        done = host.release("exec", "--", "python", "-c", f"{inside}; write({path!r})", check=False)
        assert (done.returncode == 0) is allowed, (path, done.stdout)
    done = host.release(
        "exec", "--", "python", "-c", f"{inside}; read('/etc/{host.slug}/credentials/DATABASE_URL')", check=False
    )
    assert done.returncode != 0
    assert "PermissionError" in done.stdout or "FileNotFoundError" in done.stdout, done.stdout


def test_limits_are_what_the_capacity_policy_reads(host: Host) -> None:
    """
    `systemctl edit` limits the unit; a run's workers know the limit, and say so.
    """
    if not enforces_limits(host):
        pytest.skip("this machine's control groups do not pass limits on to a container")
    host.drop_in("CPUQuota=100%", "MemoryMax=300M")
    try:
        host.release("restart")
        said = host.machine.journal(f"--unit={host.unit(host.run)}", "--grep", "workers?: ")
        assert "1 worker" in said, said
        assert "quota" in said, said
    finally:
        host.drop_in()
        host.release("restart")


def enforces_limits(host: Host) -> bool:
    """
    Tell whether a limit of a unit arrives where a process can read it.
    """
    words = ("systemd-run", "--wait", "--pipe", "--quiet", "--property=MemoryMax=200M", "--property=CPUQuota=50%")
    question = "cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/memory.max"
    old = "cat /sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)/memory.limit_in_bytes"
    out = host.machine.run(*words, "sh", "-c", f"{question} || {old}", check=False).stdout
    return str(200 * 1024 * 1024) in out
