"""The watchdogs: workers and masters that hang are noticed."""

import contextlib
import os
import signal
import time

from tests.service.serving.conftest import Serve
from tests.service.serving.running import wait_until

# What systemd sets for WatchdogSec=1.
WATCHED = {"WATCHDOG_USEC": "1000000"}


def test_a_blocked_loop_is_replaced_and_explained(serve: Serve) -> None:
    """The log has the line that blocked, in the one event that says that the worker was ended."""
    server = serve(LOG_FORMAT="json").started()
    connection = server.connect()
    connection.request("GET", "/block?seconds=60")
    server.started(2)
    connection.close()
    assert server.get()[0] == 200
    assert [event for event in server.events() if "WORKER TIMEOUT" in event["event"]]
    (report,) = [event for event in server.events() if "exception" in event]
    assert "probe_app.py" in report["exception"]
    assert " in block" in report["exception"]


def test_a_slow_request_is_not_a_blocked_loop(serve: Serve) -> None:
    """HEARTBEAT_SECONDS is no limit for requests, not even for one that delays a recycle."""
    server = serve(REQUEST_SECONDS="10", MAX_REQUESTS="1", HEARTBEAT_SECONDS="4").started()
    with contextlib.closing(server.connect()) as slow:
        slow.request("GET", "/slow?seconds=6")
        server.logged("probe: began")
        wait_until(lambda: server.get()[0] == 200 and "Recycled after" in server.log(), "a recycle")
        assert slow.getresponse().status == 200
    assert "WORKER TIMEOUT" not in server.log()


def test_the_watchdog_is_silent_while_a_worker_hangs(serve: Serve) -> None:
    """The ping stops when one worker of two stops, and comes back with its replacement."""
    server = serve(**WATCHED, WEB_CONCURRENCY="2").started(2)
    server.systemd.heard("WATCHDOG=1")
    os.kill(server.workers()[0], signal.SIGSTOP)
    server.systemd.silence("WATCHDOG=1", 2)
    server.started(3)
    server.systemd.heard("WATCHDOG=1", since=time.monotonic())


def test_the_watchdog_is_silent_while_the_master_hangs(serve: Serve) -> None:
    """The workers alone do not keep it quiet."""
    server = serve(**WATCHED).started()
    server.systemd.heard("WATCHDOG=1")
    server.tell(signal.SIGSTOP)
    server.systemd.silence("WATCHDOG=1", 2)
    assert server.get()[0] == 200
    server.tell(signal.SIGCONT)
    server.systemd.heard("WATCHDOG=1", since=time.monotonic())


def test_a_slower_heart_asks_for_a_later_watchdog(serve: Serve) -> None:
    """The unit's time is for the default; what is added to one is added to the other."""
    server = serve(**WATCHED | {"HEARTBEAT_SECONDS": "40"}).started()
    server.systemd.heard("WATCHDOG_USEC=11000000")


def test_a_stop_asks_for_its_time_while_it_lasts(serve: Serve) -> None:
    """A request that is allowed to take longer than TimeoutStopSec is answered, not killed."""
    server = serve(REQUEST_SECONDS="60").started()
    with contextlib.closing(server.connect()) as slow:
        slow.request("GET", "/slow?seconds=3")
        server.logged("probe: began")
        server.tell(signal.SIGTERM)
        server.systemd.heard("STOPPING=1")
        server.systemd.heard("EXTEND_TIMEOUT_USEC=10000000", since=time.monotonic() + 1)
        assert slow.getresponse().status == 200
