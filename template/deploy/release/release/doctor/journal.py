"""The log: how much of it is kept, and that no line of it is dropped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from release.doctor import Finding, ok, warn
from release.machine import Machine

TITLE = "log"
SETTING = re.compile(r"^(SystemMaxUse|MaxRetentionSec|Storage)=(\S+)", re.MULTILINE)


def check(machine: Machine) -> Iterator[Finding]:
    """Look at the journal's limits and at the unit's."""
    done = machine.shell.ask(["systemd-analyze", "cat-config", "systemd/journald.conf"])
    settings = dict(SETTING.findall(done.stdout))
    if Path("/var/log/journal").is_dir() and settings.get("Storage") != "volatile":
        yield ok("the journal outlives a reboot")
    else:
        yield warn(
            "the journal is lost at a reboot",
            "mkdir /var/log/journal && systemctl restart systemd-journald",
        )
    if limit := settings.get("SystemMaxUse"):
        yield ok(f"the journal may take {limit}")
    else:
        yield warn(
            "the journal takes up to a tenth of the disk, at most 4 GiB, of all services together",
            "set SystemMaxUse= in /etc/systemd/journald.conf.d/size.conf, then restart "
            "systemd-journald",
        )
    unit = f"{machine.slug}@1.service"
    rate = machine.systemd.show(unit, "LogRateLimitIntervalUSec")["LogRateLimitIntervalUSec"]
    if rate in ("0", ""):
        yield ok("no line of the service is dropped")
    else:
        yield warn("of many lines of the service some are dropped", "release setup: the unit")
