"""A machine becomes the service's host: once, or again at any time, with the same result."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from release import configuration, lock, ports, proxies, python, say, sockets, toolbox, units, users
from release.edges import Site
from release.host import Damaged, Host
from release.machine import Machine
from release.say import Problem

OLDEST_SYSTEMD = 252
TESTED = ("debian", "ubuntu")
PACKAGES = re.compile(r"apt-get install ([a-z0-9 .+-]+)")
LIMITS = "limits.conf"


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line; empty is: as before, or as rendered."""

    domain: str = ""
    email: str = ""
    port: int = 0
    listen: str = ""
    python: str = ""
    cpus: str = ""
    memory: str = ""
    install: bool = False


def setup(machine: Machine, wishes: Wishes) -> None:
    """Do everything that a first deploy needs, and say what only a person can do."""
    machine.require_root()
    check_system(machine)
    ports.refuse_address(machine, wishes.listen)
    host = merge(remembered(machine), wishes)
    site = machine.site(host)
    steps = say.Steps(7)
    with steps.step("look for what has to be there"):
        install_missing(machine, site, wishes.install)
        if not machine.service.socket_path:
            ports.refuse_taken(machine, site.port)
    with steps.step(f"user {machine.slug} and directories"):
        users.ensure(machine)
        make_directories(machine)
    with lock.hold(machine.paths.lock, "setup", machine.shell):
        with steps.step("an interpreter that the user can execute"):
            host.python = python.choose(machine, wishes.python, host.python)
            host.save(machine.paths.host, machine.shell)
        with steps.step(f"configuration in {machine.paths.etc}"):
            configuration.prepare(machine)
        with steps.step("units"):
            new_units = [units.install(machine), limit(machine, host)]
            if wishes.listen and (owner := sockets.owner(machine)):
                sockets.give(machine, owner)
                say.warn(f"it listens there after: systemctl restart {machine.socket}")
            if any(new_units):
                machine.systemd.read_units()
        with steps.step(f"proxy: {machine.edge.name}"):
            proxies.install(machine, site)
        with steps.step(f"the tool itself: {machine.paths.tool}"):
            toolbox.install(machine)
    advise(machine, site, new_units=any(new_units))


def remembered(machine: Machine) -> Host:
    """Return what an earlier setup was told."""
    try:
        return Host.load(machine.paths.host) or Host()
    except Damaged:
        say.warn(f"{machine.paths.host} is damaged; what setup was told is forgotten")
        return Host()


def merge(host: Host, wishes: Wishes) -> Host:
    """Remember what was asked for; what was not stays as it was."""
    changed = {
        name: value
        for name, value in dataclasses.asdict(wishes).items()
        if value and name in ("domain", "email", "port", "listen")
    }
    limits = {name: getattr(wishes, name) for name in ("cpus", "memory") if getattr(wishes, name)}
    return dataclasses.replace(host, **changed, options={**host.options, **limits})


def check_system(machine: Machine) -> None:
    """Refuse a machine where nothing of this can work."""
    if not Path("/run/systemd/system").is_dir():
        raise Problem("systemd is not running here; the service needs it")
    version = machine.systemd.version()
    if version < OLDEST_SYSTEMD:
        raise Problem(
            f"systemd {version} is too old, {OLDEST_SYSTEMD} is needed: "
            "Debian 12, Ubuntu 24.04 or later"
        )
    release = Path("/etc/os-release")
    text = release.read_text(encoding="utf-8") if release.exists() else ""
    known = dict(line.partition("=")[::2] for line in shlex.split(text))
    if not {known.get("ID", ""), *known.get("ID_LIKE", "").split()} & set(TESTED):
        name = known.get("PRETTY_NAME", "this system")
        say.warn(f"{name} was never tested; Debian and Ubuntu were")


def install_missing(machine: Machine, site: Site, allowed: bool) -> None:
    """Name what the proxy lacks, or install it."""
    missing = machine.edge.requirements(site)
    packages = sorted({name for line in missing for name in packages_in(line)})
    if missing and allowed and packages:
        machine.shell.run(["apt-get", "update", "--quiet"])
        machine.shell.run(
            ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
            env={"DEBIAN_FRONTEND": "noninteractive"},
        )
        missing = [] if machine.shell.dry else machine.edge.requirements(site)
    if missing:
        again = "; or let setup do it: --install" if packages and not allowed else ""
        raise Problem("; ".join(missing) + again)


def packages_in(line: str) -> list[str]:
    """Find the packages in the advice of a proxy."""
    found = PACKAGES.search(line)
    return found[1].split() if found else []


def make_directories(machine: Machine) -> None:
    """Make what has to be there before the first release."""
    paths = machine.paths
    for path in (paths.home, paths.releases, paths.runs, paths.static):
        machine.shell.directory(path)


def limit(machine: Machine, host: Host) -> bool:
    """Write the limits of a run; return whether they are new."""
    lines = []
    if cpus := host.options.get("cpus"):
        lines.append(f"CPUQuota={float(cpus) * 100:g}%")
    if memory := host.options.get("memory"):
        lines.append(f"MemoryMax={memory}")
    if not lines:
        return False
    text = "\n".join(["# Written by setup.", "[Service]", *lines, ""])
    return machine.shell.write(machine.paths.drop_in(f"{machine.slug}@.service", LIMITS), text)


def advise(machine: Machine, site: Site, new_units: bool) -> None:
    """Say what is left to do, in the order in which to do it."""
    lines: list[str] = []
    for name in configuration.needed_secrets(machine):
        if not (machine.paths.credentials / name).exists():
            lines.append(f"Set the secret {name}: release secret set {name}")
    lines.append(f"Look through the environment: {machine.paths.environment}")
    lines += machine.edge.advice(site)
    if not any(machine.paths.runs.glob("[0-9]*")):
        lines.append("Deploy the first release")
    elif new_units:
        lines.append("The units are new; a run that starts has them: release restart")
    tell(lines)
    say.line(say.SHORT)


def tell(lines: Iterable[str]) -> None:
    """Print what is left to do."""
    say.line()
    say.line("Left to do:")
    for line in lines:
        say.line(f"  - {line}")
