"""
The traces of a service on a machine, to be compared before and after.
"""

from __future__ import annotations

import re

from tests.vm.host import Host

#: Everywhere a service may leave something.
PLACES = ("/etc", "/opt", "/run", "/usr/local", "/var/lib", "/root", "/tmp", "/home")
#: What comes and goes by itself.
NOISE = re.compile(
    r"/run/(systemd|dbus|log|user|udev|sudo|lock|credentials/systemd-[^/]*|postgresql|sshd?)\b|/run/\w+\.pid|/run/motd\.dynamic|/run/[\w-]+\.gate$|/var/lib/(postgresql|systemd|dpkg|private)/"
    r"|/tmp/systemd-private|/etc/\.pwd\.lock|/etc/(passwd|group|shadow|gshadow|sub[ug]id)-|__pycache__"
)


def files(host: Host) -> set[str]:
    """
    Every path in those places.
    """
    out = host.machine.run("find", *PLACES, "-xdev", check=False).stdout
    return {line for line in out.splitlines() if line.startswith("/") and not NOISE.search(line)}


def leftovers(host: Host) -> set[tuple[str, ...]]:
    """
    The files, units and accounts of a service.
    """
    units = host.machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", f"{host.slug}*").stdout
    enabled = host.machine.run("systemctl", "list-unit-files", "--no-legend", f"{host.slug}*").stdout
    accounts = (host.machine / "etc/passwd").read_text() + (host.machine / "etc/group").read_text()
    found: set[tuple[str, ...]] = {("file", path) for path in files(host)}
    # Then come what a socket waits for at this moment, and a description.
    found |= {("unit", *line.split()[:3]) for line in units.splitlines()}
    found |= {("unit file", *line.split()) for line in enabled.splitlines()}
    return found | {("account", line) for line in accounts.splitlines()}
