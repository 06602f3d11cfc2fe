"""Time: certificates, tokens and logs are wrong where it is."""

from __future__ import annotations

from collections.abc import Iterator

from release.doctor import Finding, ok, warn
from release.machine import Machine

TITLE = "time"


def check(machine: Machine) -> Iterator[Finding]:
    """Ask systemd whether the clock follows a server."""
    done = machine.shell.ask(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if done.returncode:
        yield warn("timedatectl does not answer", "apt-get install systemd-timesyncd")
    elif done.stdout.strip() == "yes":
        yield ok("the clock is synchronised")
    else:
        yield warn(
            "the clock follows no server",
            "apt-get install systemd-timesyncd && timedatectl set-ntp true",
        )
