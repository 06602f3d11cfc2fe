"""The way back: nothing of the service stays on the machine but what people may still need."""

from __future__ import annotations

from release import lock, proxies, say, units, users
from release.machine import Machine


def uninstall(machine: Machine, purge: bool) -> None:
    """Stop it and remove it; `purge` takes its data, its configuration and its user along."""
    machine.require_root()
    site = machine.site()
    paths = machine.paths
    steps = say.Steps(5 if purge else 4)
    with lock.hold(paths.lock, "uninstall", machine.shell):
        with steps.step("take it out of the proxy"):
            proxies.remove(machine, site, purge)
        with steps.step("stop it"):
            stop(machine)
        with steps.step("remove its units"):
            for path in units.installed(machine):
                machine.shell.remove(path)
            machine.systemd.read_units()
            machine.systemd.forget(f"{machine.slug}@*.service", machine.socket)
        with steps.step(f"remove {paths.home}"):
            for path in (paths.gate, paths.root / machine.service.socket_path.lstrip("/")):
                if path != paths.root:
                    machine.shell.remove(path)
            machine.shell.remove(paths.home)
        if purge:
            with steps.step("remove its data, its configuration and its user"):
                logs = (paths.root / "var/log" / machine.edge.name).glob(f"{machine.slug}.*")
                for path in (paths.etc, paths.state, *logs):
                    machine.shell.remove(path)
                users.remove(machine)
    if not purge:
        say.line(f"Kept: {paths.etc} and {paths.state} (with --purge they go too)")


def stop(machine: Machine) -> None:
    """Stop the socket first, so that nothing starts it again, then every run."""
    runs = machine.systemd.units(f"{machine.slug}@*.service")
    enabled = machine.paths.units.glob(f"*.wants/{machine.slug}@*.service")
    machine.systemd.disable(machine.target, machine.socket, *{path.name for path in enabled})
    machine.systemd.stop(machine.target, machine.socket, *runs)
