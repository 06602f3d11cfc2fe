"""The interpreter of the service: new enough, and one that its user can execute."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

from release import say, users
from release.machine import Machine
from release.say import Problem

# What a build of Python may lack, and the service needs.
CHECK = "import ctypes, ssl, sys, zlib; print('%d.%d' % sys.version_info[:2])"

# The units hide these (ProtectHome, PrivateTmp), whatever the permissions.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")

FOLDERS = ("/usr/bin", "/usr/local/bin")
DISTRIBUTION = "/usr/bin/python3"
NAME = re.compile(r"python3\.(\d+)")


def choose(machine: Machine, wanted: str, remembered: str) -> str:
    """
    Return the interpreter to make environments with.

    What was asked for must do. Otherwise: what was used before, the distribution's own, another one
    of the system (the newest first), one that was installed for the service, one that uv installs.
    """
    if wanted:
        path = shutil.which(wanted) or wanted
        if trouble := refuse(machine, path):
            raise Problem(f"{path} cannot be used: {trouble}")
        return path
    troubles = []
    for path in dict.fromkeys([remembered, *of_the_system(), *of_the_service(machine)]):
        if not path or not os.path.exists(path):
            continue
        trouble = refuse(machine, path)
        if trouble is None:
            return path
        troubles.append(f"{path}: {trouble}")
    for each in troubles:
        say.line(f"      {each}")
    return install(machine)


def of_the_system() -> list[str]:
    """List the interpreters of the system: its own first, then the newest."""
    found = []
    for folder in FOLDERS:
        for path in Path(folder).glob("python3.*"):
            if match := NAME.fullmatch(path.name):
                found.append((int(match[1]), str(path)))
    others = [path for _, path in sorted(found, reverse=True)]
    return [DISTRIBUTION, *others, "/usr/local/bin/python3"]


def of_the_service(machine: Machine) -> list[str]:
    """List the interpreters that were installed for the service."""
    return sorted(map(str, machine.paths.python.glob("*/bin/python3")), reverse=True)


def refuse(machine: Machine, path: str) -> str | None:
    """Say why an interpreter cannot be used; None when it can."""
    real = os.path.realpath(path)
    if not os.path.exists(real):
        return "it does not exist"
    for folder in HIDDEN:
        if real.startswith(f"{folder}/"):
            return f"it lies in {folder}, which the unit hides (it would end with 203/EXEC)"
    # A dry run before the first setup has no user yet: another one without rights stands in.
    user = machine.slug if users.exists(machine.slug) else "nobody"
    done = machine.shell.ask([path, "-I", "-c", CHECK], user=user)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it does not run"])[-1]
        return closed(real) or said.replace(f"{path}: ", "")
    version = done.stdout.strip()
    minimum = machine.service.python_minimum
    if numbers(version) < numbers(minimum):
        return f"it is Python {version}, and {minimum} or later is needed"
    return None


def closed(path: str) -> str | None:
    """Name what keeps another user from executing a file."""
    for part in [*reversed(Path(path).parents), Path(path)]:
        mode = part.stat().st_mode
        if not mode & stat.S_IXOTH:
            return (
                f"other users may not {'enter' if stat.S_ISDIR(mode) else 'execute'} {part} "
                f"(mode {stat.S_IMODE(mode):04o}; it would end with 203/EXEC)"
            )
    return None


def install(machine: Machine) -> str:
    """Have uv install an interpreter into the service's own tree."""
    minimum = machine.service.python_minimum
    uv = shutil.which("uv") or shutil.which("uv", path="/root/.local/bin:/usr/local/bin")
    if uv is None:
        raise Problem(
            f"no Python {minimum} or later that the user {machine.slug} can execute; "
            f"apt-get install python3 on a newer system, name one with --python, or install uv "
            "(https://docs.astral.sh/uv/getting-started/installation/) and run this again"
        )
    folder = machine.paths.python
    machine.shell.directory(folder)
    machine.shell.run(
        [uv, "python", "install", "--no-bin", f">={minimum}"],
        env={"UV_PYTHON_INSTALL_DIR": str(folder)},
    )
    if machine.shell.dry:
        return f"{folder}/cpython/bin/python3"
    for path in of_the_service(machine):
        if refuse(machine, path) is None:
            return path
    raise Problem(f"uv installed no usable Python in {folder}; name one with --python")


def numbers(version: str) -> tuple[int, ...]:
    """Turn a version into what can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
