"""A virtual environment to ship: for packages without wheels, built on a machine like the host."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from release import wheels
from release.say import Problem
from release.target import Target, ask


def make(tree: Path, target: Target, destination: Path, scratch: Path) -> None:
    """
    Install what uv.lock says, and keep `site-packages/` and `bin/` of it.

    What is compiled here fits machines like this one only, so any other target is refused.
    """
    if not sys.platform.startswith("linux"):
        raise Problem("a venv is built on Linux; the kind wheels is built anywhere")
    venv = scratch / "venv"
    wheels.run(
        ["uv", "venv", "--quiet", "--no-project", "--python", target.python, str(venv)],
        f"there is no Python {target.python} here",
    )
    refuse_unlike(ask(str(venv / "bin" / "python")), target)
    sync = ["uv", "sync", "--quiet", "--frozen", "--no-dev", "--no-install-project", "--active"]
    # Copies: links into uv's cache would be packed as such, or change with it.
    sync += ["--link-mode=copy", f"--project={tree}"]
    wheels.run(
        sync,
        "the packages cannot be installed",
        environment={"VIRTUAL_ENV": str(venv)},
    )
    destination.mkdir()
    shutil.move(
        str(venv / "lib" / f"python{target.python}" / "site-packages"),
        str(destination / "site-packages"),
    )
    (destination / "bin").mkdir()
    for script in sorted((venv / "bin").iterdir()):
        if is_script(script, venv):
            shutil.copy(script, destination / "bin")


def refuse_unlike(here: Target, there: Target) -> None:
    """Raise a Problem unless what is compiled here runs there."""
    if here.machine != there.machine:
        raise Problem(f"this machine is {here.machine}, the host is {there.machine}")
    family, _, version = here.libc.partition(" ")
    other, _, oldest = there.libc.partition(" ")
    if family != other or numbers(version) > numbers(oldest):
        raise Problem(
            f"this machine has {here.libc}, the host {there.libc}: what is compiled here does not "
            "run there; build on the host's own system (a container of it, or CI)"
        )


def is_script(path: Path, venv: Path) -> bool:
    """Tell the commands of packages from the interpreter and the activation scripts."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return str(venv / "bin").encode() in file.read(256)


def numbers(version: str) -> list[int]:
    """Turn a version into what can be compared."""
    return [int(part) for part in version.split(".")]
