"""The shared socket: there, and as deep as it was meant to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from release import readiness, runs
from release.doctor import Finding, fail, ok, warn
from release.machine import Machine

TITLE = "socket"
CAP = Path("/proc/sys/net/core/somaxconn")


def check(machine: Machine) -> Iterator[Finding]:
    """Look at the socket, at its queue, and at who answers."""
    backlog = int(machine.systemd.show(machine.socket, "Backlog")["Backlog"] or 0)
    cap = int(CAP.read_text())
    if cap < backlog:
        yield warn(
            f"the queue for connections is cut from {backlog} to {cap} (net.core.somaxconn)",
            f"echo net.core.somaxconn={backlog} > /etc/sysctl.d/50-somaxconn.conf && "
            "sysctl --system; then reboot at leisure",
        )
    else:
        yield ok(f"{backlog} connections may wait")
    if runs.current(machine) is None:
        yield ok("nothing was deployed yet")
        return
    if not machine.systemd.is_active(machine.socket):
        yield fail(f"{machine.socket} is not active", f"systemctl start {machine.target}")
        return
    answer = readiness.ask(machine)
    if answer.status == 200:
        yield ok("/ready: 200")
    else:
        yield fail(f"/ready: {answer.said}", f"journalctl --unit '{machine.slug}@*' --lines 50")
