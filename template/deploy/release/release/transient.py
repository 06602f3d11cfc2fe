"""A command in a unit of its own, within the same walls as a run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from release.machine import Machine
from release.say import Problem

# What makes a unit a service that is kept alive, has a socket, and answers to systemd.
NOT_OURS = (
    "ExecStart", "KillMode", "LogRateLimitIntervalSec", "NotifyAccess", "OOMPolicy", "Restart",
    "RestartSec", "Sockets", "SyslogIdentifier", "TimeoutStartSec", "TimeoutStopSec", "Type",
    "WatchdogSec",
)  # fmt: skip


def command(
    machine: Machine, number: int, words: Sequence[str], *, terminal: bool = False
) -> list[str]:
    """Return the command line that runs `words` as run `number` would."""
    unit = machine.paths.unit(f"{machine.slug}@.service")
    drop_in = machine.paths.drop_in(machine.unit(number), "run.conf")
    home = machine.paths.runs / str(number) / "release"
    asked = ["systemd-run", "--quiet", "--collect", "--wait", "--service-type=exec"]
    asked += ["--pty" if terminal else "--pipe", f"--description={machine.slug}: {words[0]}"]
    for name, value in (*properties(unit), *properties(drop_in)):
        asked.append(f"--property={name}={value.replace('%i', str(number))}")
    own = home / ".venv" / "bin"
    path = f"{own}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [*asked, f"--setenv=PATH={path}", "--", program(own, words[0]), *words[1:]]


def program(own: Path, name: str) -> str:
    """Find a command: of the release first. systemd itself does not look there."""
    if "/" in name:
        return name
    found = own / name if (own / name).exists() else shutil.which(name)
    if not found:
        raise Problem(f"there is no command {name}, neither in the release nor on this host")
    return str(found)


def properties(unit: Path) -> list[tuple[str, str]]:
    """Read the settings of a unit's [Service] section that make its walls."""
    try:
        text = unit.read_text()
    except OSError:
        return []
    _, _, section = text.partition("[Service]\n")
    section, _, _ = section.partition("\n[")
    found = []
    for line in section.splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith(("#", ";")) and name not in NOT_OURS:
            found.append((name, value))
    return found
