"""The proxy's files: written together, judged by the proxy itself, and put back if it objects."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

from release import say
from release.edges import Site
from release.machine import Machine
from release.say import Problem


def install(machine: Machine, site: Site) -> bool:
    """Write what the proxy needs; return whether anything is new."""
    edge = machine.edge
    changes = []
    for name, text in edge.keep(site).items():
        if not Path(name).exists():
            mode = 0o600 if "PRIVATE KEY" in text else 0o644
            changes.append(machine.shell.write(Path(name), text, mode))
    files = {Path(name): text for name, text in edge.files(site).items()}
    before = {path: content(path) for path in files}
    changes += [machine.shell.write(path, text) for path, text in files.items()]
    if machine.shell.dry:
        return any(changes)
    judge(machine, before)
    bring_up(machine, before, new=any(changes))
    return any(changes)


def bring_up(machine: Machine, before: Mapping[Path, bytes | None], new: bool) -> None:
    """Have the proxy read what is new, and run: now, and after the next boot."""
    command, unit = machine.edge.reload(), f"{machine.edge.name}.service"
    if command is None:
        return
    began = int(time.time())
    if not new and machine.systemd.is_active(unit):
        machine.systemd.enable(unit)
        return
    done = machine.shell.run(command, check=False)
    if not done.returncode and not machine.systemd.is_active(unit):
        done = machine.systemd.start(unit)
    if done.returncode:
        said = machine.systemd.journal(unit, since=began)
        put_back(machine, before)
        raise Problem(
            f"{machine.edge.name} does not run with its new files (systemctl status {unit}); "
            "they were taken back",
            said or (done.stdout + done.stderr).strip(),
        )
    machine.systemd.enable(unit)


def judge(machine: Machine, before: Mapping[Path, bytes | None]) -> None:
    """Have the proxy check its configuration; if it objects, everything is as it was."""
    command = machine.edge.check()
    if command is None:
        return
    done = machine.shell.ask(command)
    if done.returncode == 0:
        return
    put_back(machine, before)
    again = machine.shell.ask(command)
    command_line = " ".join(command)
    if again.returncode == 0:
        text = f"{machine.edge.name} refuses its new files ({command_line}); they were taken back"
    else:
        text = f"{machine.edge.name} refuses what was there before, too; put that right first: "
        text += command_line
    raise Problem(text, (done.stdout + done.stderr).strip())


def put_back(machine: Machine, before: Mapping[Path, bytes | None]) -> None:
    """Give files the content they had."""
    for path, data in before.items():
        if data is None:
            machine.shell.remove(path)
        else:
            machine.shell.write(path, data)


def remove(machine: Machine, site: Site, purge: bool) -> None:
    """Take the service out of the proxy; the user's additions go only with everything else."""
    edge = machine.edge
    # What is kept may be the host's, for all its services; it goes only if it is named after this.
    kept = [name for name in edge.keep(site) if purge and is_ours(machine.slug, name)]
    for name in [*edge.files(site), *kept]:
        machine.shell.remove(Path(name))
    if (command := edge.check()) and machine.shell.ask(command).returncode:
        say.warn(f"{edge.name} objects to what is left of its configuration: {' '.join(command)}")
    elif command := edge.reload():
        machine.shell.run(command, check=False)
    for command in edge.leave(site):
        machine.shell.run(command, check=False)


def is_ours(slug: str, name: str) -> bool:
    """Tell whether a path is named after the service."""
    return any(re.fullmatch(rf"{re.escape(slug)}([-.].*)?", part) for part in Path(name).parts)


def content(path: Path) -> bytes | None:
    """Return what is in a file, None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
