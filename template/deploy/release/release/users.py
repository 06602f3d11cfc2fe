"""The Linux user of the service: it owns nothing but its state, and nobody logs in as it."""

from __future__ import annotations

import grp
import pwd

from release.machine import Machine
from release.say import Problem


def exists(name: str) -> bool:
    """Tell whether there is a user of that name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def group_exists(name: str) -> bool:
    """Tell whether there is a group of that name."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def ensure(machine: Machine) -> None:
    """Make user and group; refuse a user of that name that is somebody else's."""
    name = machine.slug
    home = f"/var/lib/{name}"
    if exists(name):
        other = pwd.getpwnam(name)
        if other.pw_dir != home or other.pw_uid == 0:
            raise Problem(
                f"the user {name} exists and is not the service's: its home is {other.pw_dir}, not "
                f"{home}; remove it, or rename it (usermod --login)"
            )
        return
    words = ["useradd", "--system", "--home-dir", home, "--no-create-home"]
    words += ["--shell", "/usr/sbin/nologin"]
    # A group of that name may be left over, or made by hand so that people may read.
    words += ["--gid", name] if group_exists(name) else ["--user-group"]
    machine.shell.run([*words, name])


def remove(machine: Machine) -> None:
    """Remove user and group."""
    if exists(machine.slug):
        machine.shell.run(["userdel", machine.slug])
    if group_exists(machine.slug) and not machine.shell.dry:
        machine.shell.run(["groupdel", machine.slug])
