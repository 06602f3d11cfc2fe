"""Room: for the next release, for what the service writes, for the journal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from release.doctor import Finding, fail, ok, warn
from release.machine import Machine

TITLE = "disk"

# A release is about 100 MiB; a deploy needs that three times for a moment.
LITTLE, TOO_LITTLE = 2**30, 300 * 2**20
FEW_FILES = 0.05


def check(machine: Machine) -> Iterator[Finding]:
    """Look at each file system once."""
    seen = set()
    for path in (machine.paths.home, machine.paths.state, Path("/var/log"), Path("/tmp")):
        if not path.exists() or (device := path.stat().st_dev) in seen:
            continue
        seen.add(device)
        yield look(path)


def look(path: Path) -> Finding:
    """Judge the file system of a path."""
    room = os.statvfs(path)
    free = room.f_bavail * room.f_frsize
    text = f"{path}: {free / 2**30:.1f} GiB free"
    if room.f_files and room.f_favail < room.f_files * FEW_FILES:
        return warn(f"{path}: few files more can be made (inodes)", "remove small files: df -i")
    if free < TOO_LITTLE:
        return fail(
            text, "make room before the next deploy: release prune, journalctl --vacuum-size"
        )
    if free < LITTLE:
        return warn(text, "make room: release prune, journalctl --vacuum-size=500M")
    return ok(text)
