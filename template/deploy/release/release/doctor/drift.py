"""Whether what is installed is what the project renders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from release import units
from release.doctor import Finding, ok, warn
from release.machine import Machine

TITLE = "installed"


def check(machine: Machine) -> Iterator[Finding]:
    """Compare units and proxy files."""
    wanted = units.files(machine)
    wanted.update({Path(name): text for name, text in machine.edge.files(machine.site()).items()})
    missing = [str(path) for path in wanted if not path.exists()]
    other = [
        str(path)
        for path, text in wanted.items()
        if path.exists() and path.read_text(encoding="utf-8") != text
    ]
    if missing:
        yield warn(f"missing: {', '.join(missing)}", "release setup")
    if other:
        yield warn(
            f"not what this project renders: {', '.join(other)}",
            "release setup, then release restart; additions belong in files that it never touches",
        )
    if not missing and not other:
        yield ok("units and proxy files are those of this project")
