"""
The watchdog and the time of a stop: a service that stands still is noticed, whichever part of it does, and one that is slow
because its operator wants that is left alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from signal import SIGSTOP

import pytest

from tests.support.load import Answer
from tests.support.processes import wait_until
from tests.vm import broken
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on

#: Seconds. The rendered values keep the same order, and are too long to wait for.
HEARTBEAT, WATCHDOG = 3, 8
#: For a stop, by the unit.
STOP = 4


@pytest.fixture
def quick(host: Host) -> Iterator[Host]:
    """
    A run with a quick heart and a quick watchdog, which answers slowly at /slow.
    """
    environment = host.machine / f"etc/{host.slug}/environment"
    text = environment.read_text()
    host.drop_in(f"WatchdogSec={WATCHDOG}", f"TimeoutStopSec={STOP}")
    host.set_environment({"HEARTBEAT_SECONDS": f"{HEARTBEAT}"})
    try:
        host.deploy_edited(broken.with_feature(host.operator.project))
        yield host
    finally:
        host.drop_in()
        environment.write_text(text)
        host.deploy_edited({"static/robots.txt": "rendered times\n"})


@on("trixie")
def test_a_service_that_stands_still_is_noticed(quick: Host) -> None:
    """
    One stuck worker is replaced by the master. A stopped master, or workers that are all stuck, are systemd's business.
    """
    host = quick
    unit = host.unit(host.run)
    master, first, second = host.machine.processes_of(unit)

    host.machine.kill(SIGSTOP, first)
    wait_until(lambda: replaced(host, unit, [first]), seconds=HEARTBEAT * 2 + 30, what="another worker")
    assert host.machine.processes_of(unit)[0] == master, "systemd restarted it, though one worker was stuck"

    host.machine.kill(SIGSTOP, master)
    wait_until(lambda: renewed(host, unit, master), seconds=WATCHDOG * 2 + 30, what="another master")
    host.machine.wait_active(unit)
    host.wait_ready()

    master, first, second = host.machine.processes_of(unit)
    host.machine.kill(SIGSTOP, first, second)
    wait_until(
        lambda: replaced(host, unit, [first, second]) or renewed(host, unit, master),
        seconds=WATCHDOG * 2 + 30,
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


@on("trixie")
def test_a_stop_may_take_as_long_as_a_request(quick: Host) -> None:
    """
    The unit allows less for a stop than a request may take, as where REQUEST_SECONDS was raised: the request is answered by
    the run that is being stopped, and nothing of it is killed.
    """
    host = quick
    unit = host.unit(host.run)
    begun = host.machine / f"var/lib/{host.slug}/slow"
    begun.unlink(missing_ok=True)
    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(host.ask(f"/slow?seconds={STOP * 2}")), daemon=True)
    slow.start()
    wait_until(begun.exists, seconds=60, what="a slow request at work")
    host.release("restart")
    slow.join(60)
    begun.unlink()
    assert [answer.status for answer in answers] == [200]
    said = host.machine.journal(f"--unit={unit}", "--priority=warning")
    assert "timed out" not in said, said
    assert "SIGKILL" not in said, said


@on("trixie")
def test_a_slower_heart_asks_for_a_slower_watchdog(host: Host) -> None:
    """
    HEARTBEAT_SECONDS is raised in the environment: systemd waits as much longer than the unit says.
    """
    environment = host.machine / f"etc/{host.slug}/environment"
    text = environment.read_text()
    assert host.machine.show(host.unit(host.run), "WatchdogUSec") == {"WatchdogUSec": "1min 30s"}
    host.set_environment({"HEARTBEAT_SECONDS": "120"})
    try:
        host.release("restart")
        assert host.machine.show(host.unit(host.run), "WatchdogUSec") == {"WatchdogUSec": "3min"}
    finally:
        environment.write_text(text)
        host.release("restart")
