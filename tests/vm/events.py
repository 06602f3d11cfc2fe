"""
The events of a service, in their order; each ends when the service is itself again.

What stands before the `yield` prepares it, and is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from signal import SIGKILL

from tests.support.processes import wait_until
from tests.vm import database
from tests.vm.host import Host

Event = Callable[[Host], Iterator[None]]


def steady(host: Host) -> Iterator[None]:
    """
    Nothing.
    """
    yield


def deploy(host: Host) -> Iterator[None]:
    """
    A new release.
    """
    release = host.operator.edited({"static/robots.txt": f"{host.run}\n"})
    yield
    host.deploy(release)
    assert host.current == release.name


def rollback(host: Host) -> Iterator[None]:
    """
    The release before this one.
    """
    before = host.current
    yield
    host.release("rollback")
    assert host.current < before, f"{host.current} is not older than {before}"


def restart(host: Host) -> Iterator[None]:
    """
    The same release, as a new run.
    """
    run, release = host.run, host.current
    yield
    host.release("restart")
    assert host.run > run
    assert host.current == release


def systemctl_restart(host: Host) -> Iterator[None]:
    """
    The same run, stopped and started by somebody who does not know better.
    """
    unit = host.unit(host.run)
    yield
    host.machine.run("systemctl", "restart", unit)


def kill_worker(host: Host) -> Iterator[None]:
    """
    One worker ends, as by the kernel.
    """
    unit = host.unit(host.run)
    before = host.machine.processes_of(unit)
    yield
    host.machine.kill(SIGKILL, before[1])
    wait_until(
        lambda: len(now := host.machine.processes_of(unit)) == len(before) and before[1] not in now,
        seconds=30,
        what="a new worker",
    )
    host.wait_ready()


def kill_master(host: Host) -> Iterator[None]:
    """
    The process that systemd watches ends, as by the kernel.
    """
    unit = host.unit(host.run)
    main = host.machine.processes_of(unit)[0]
    yield
    host.machine.kill(SIGKILL, main)
    wait_until(lambda: host.machine.processes_of(unit)[0] not in {0, main}, seconds=30, what="a new master")
    host.machine.wait_active(unit)


def stop_database(host: Host) -> Iterator[None]:
    """
    The database is stopped, and started a little later.
    """
    yield
    host.machine.run("systemctl", "stop", database.UNIT)
    wait_until(lambda: host.ready_status() == 503, seconds=15, what="/ready says 503")
    host.machine.run("systemctl", "start", database.UNIT)
    host.wait_ready()


def reboot(host: Host) -> Iterator[None]:
    """
    The whole machine, in order.
    """
    run = host.run
    yield
    host.machine.reboot()
    host.machine.wait_active(host.unit(run))
    host.wait_ready()


#: Name → event. The first is what the others are compared with.
EVENTS: Mapping[str, Event] = {
    "nothing": steady,
    "deploy": deploy,
    "second deploy": deploy,
    "third deploy": deploy,
    "rollback": rollback,
    "second rollback": rollback,
    "release restart": restart,
    "systemctl restart": systemctl_restart,
    "kill -9 of a worker": kill_worker,
    "kill -9 of the master": kill_master,
    "database stopped and started": stop_database,
    "reboot": reboot,
}
