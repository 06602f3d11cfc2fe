"""
The watchdog: a service that stands still is noticed, whichever part of it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from signal import SIGSTOP

import pytest

from tests.support.processes import wait_until
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on

#: Seconds. The rendered values keep the same order, and are too long to wait for.
HEARTBEAT, WATCHDOG = 3, 8


@pytest.fixture
def watched(host: Host) -> Iterator[int]:
    """
    A run with a quick heart and a quick watchdog; its number.
    """
    environment = host.machine / f"etc/{host.slug}/environment"
    text = environment.read_text()
    drop_in = host.machine / f"etc/systemd/system/{host.slug}@.service.d/quick.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Service]\nWatchdogSec={WATCHDOG}\n")
    environment.write_text(f"{text}HEARTBEAT_SECONDS={HEARTBEAT}\n")
    try:
        host.release("restart")
        yield host.run
    finally:
        drop_in.unlink()
        environment.write_text(text)
        host.machine.run("systemctl", "daemon-reload")
        host.release("restart")


@on("trixie")
def test_a_service_that_stands_still_is_noticed(host: Host, watched: int) -> None:
    """
    One stuck worker is replaced by the master. A stopped master, or workers that are all stuck, are systemd's business.
    """
    unit = host.unit(watched)
    master, first, second = host.machine.processes_of(unit)

    host.machine.kill(SIGSTOP, first)
    wait_until(lambda: replaced(host, unit, [first]), seconds=HEARTBEAT * 2 + 15, what="another worker")
    assert host.machine.processes_of(unit)[0] == master, "systemd restarted it, though one worker was stuck"

    host.machine.kill(SIGSTOP, master)
    wait_until(lambda: renewed(host, unit, master), seconds=WATCHDOG * 2 + 15, what="another master")
    host.machine.wait_active(unit)
    host.wait_ready()

    master, first, second = host.machine.processes_of(unit)
    host.machine.kill(SIGSTOP, first, second)
    wait_until(
        lambda: replaced(host, unit, [first, second]) or renewed(host, unit, master),
        seconds=WATCHDOG * 2 + 15,
        what="other workers",
    )
    host.machine.wait_active(unit)
    with NGINX.load(host) as load:
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("after all")


def replaced(host: Host, unit: str, pids: list[int]) -> bool:
    now = host.machine.processes_of(unit)
    return len(now) == 3 and not set(pids) & set(now)


def renewed(host: Host, unit: str, master: int) -> bool:
    now = host.machine.processes_of(unit)
    return now[0] not in {0, master} and len(now) == 3
