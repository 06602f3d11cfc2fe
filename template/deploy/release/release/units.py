"""The units: rendered as `service…`, installed under the name of the service."""

from __future__ import annotations

from pathlib import Path

from release.machine import Machine


def files(machine: Machine) -> dict[Path, str]:
    """Return what has to be installed: path and text."""
    found = {}
    for rendered in sorted((machine.source / "systemd").iterdir()):
        # service@.service is the service itself; what is called otherwise is beside it.
        name = rendered.name
        if name.startswith("service"):
            name = machine.slug + name[len("service") :]
        else:
            name = f"{machine.slug}-{name}"
        found[machine.paths.unit(name)] = rendered.read_text(encoding="utf-8")
    return found


def install(machine: Machine) -> bool:
    """Write the units; return whether systemd has to read them."""
    changes = [machine.shell.write(path, text) for path, text in files(machine).items()]
    return any(changes)


def installed(machine: Machine) -> list[Path]:
    """List what is installed: the units, their drop-ins, and those of single runs."""
    found: set[Path] = set()
    for unit in files(machine):
        # Never by the beginning of the name alone: another service may be called like this one,
        # and then some.
        found |= {unit, unit.with_name(f"{unit.name}.d")}
        if "@." in unit.name:
            found |= set(unit.parent.glob(f"{unit.name.replace('@.', '@*.')}.d"))
    return sorted(path for path in found if path.exists())
