"""The start of the service, and its failures."""

import os
import sys
import time
from pathlib import Path
from signal import SIGKILL, SIGTERM, SIGTTIN

import pytest

from tests.service.serving.conftest import Serve
from tests.service.serving.running import wait_until


def test_ready_is_sent_when_all_workers_serve(serve: Serve, tmp_path: Path) -> None:
    """systemd learns READY=1 from the last worker, and nothing before it serves."""
    gate = tmp_path / "gate"
    server = serve(WEB_CONCURRENCY="2", PROBE_GATE=str(gate))
    server.systemd.heard("STATUS=1 of 2 workers serve")
    assert server.get()[0] == 200
    assert not server.systemd.count("READY=1")
    gate.touch()
    server.systemd.heard("READY=1\nSTATUS=2 of 2 workers serve")
    server.tell(SIGTERM)
    server.systemd.heard("STOPPING=1")
    assert server.ended() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_ready_reaches_the_abstract_namespace(serve: Serve) -> None:
    """An address that begins with @ is one without a file."""
    server = serve(NOTIFY_SOCKET="@steadfast-test-" + str(time.monotonic_ns()))
    server.systemd.heard("READY=1")


def test_a_broken_first_start_ends_the_service(serve: Serve) -> None:
    """An application that cannot be imported: exit code 3, a traceback, and no READY=1."""
    server = serve(WEB_CONCURRENCY="2", PROBE="broken")
    assert server.ended() == 3
    assert "RuntimeError: broken on purpose" in server.log()
    assert not server.systemd.count("READY=1")


def test_a_failing_lifespan_ends_the_service(serve: Serve) -> None:
    """So does a lifespan that says it failed."""
    server = serve(PROBE="fails")
    assert server.ended() == 3
    assert "fails on purpose" in server.log()


def test_a_message_for_the_operator_comes_without_traceback(serve: Serve) -> None:
    """An exception with `operator_message` is that message, in one event."""
    server = serve(PROBE="misconfigured", LOG_FORMAT="json")
    assert server.ended() == 3
    assert [event for event in server.events() if event["event"] == "THE_VARIABLE is missing"]
    assert "Traceback" not in server.log()


def test_a_bad_variable_ends_the_start_in_one_line(serve: Serve) -> None:
    """Nothing is started, and no traceback hides the reason."""
    server = serve(LAME_DUCK_SECONDS="long")
    assert server.ended() == 1
    assert server.log().strip() == "LAME_DUCK_SECONDS='long' is not a number of seconds, 0 or more."


def test_a_file_broken_later_does_not_stop_the_others(serve: Serve, tmp_path: Path) -> None:
    """A killed worker whose replacement cannot start: the others serve, and it heals by itself."""
    broken = tmp_path / "broken"
    server = serve(WEB_CONCURRENCY="2", PROBE_BREAK_FILE=str(broken)).started(2)
    broken.touch()
    kill(server.workers()[0])
    server.logged("another one is tried")
    assert server.get()[0] == 200
    broken.unlink()
    server.started(3)
    assert server.process.poll() is None


def test_a_killed_worker_is_replaced(serve: Serve) -> None:
    """kill -9 costs one worker's connections, for a moment."""
    server = serve(WEB_CONCURRENCY="2").started(2)
    kill(server.workers()[0])
    server.started(3)
    assert server.get()[0] == 200


def test_workers_know_how_many_they_are(serve: Serve) -> None:
    """The application hears the number that is true when its worker starts."""
    server = serve(WEB_CONCURRENCY="1").started()
    assert server.get("/workers") == (200, b"1")
    server.tell(SIGTTIN)
    server.started(2).tell(SIGTTIN)
    server.started(3)
    for pid in server.workers()[:2]:
        kill(pid)
    server.started(5)
    wait_until(lambda: server.get("/workers") == (200, b"3"), "a worker of three")


def test_an_unknown_uvicorn_is_served_by_its_own_means(serve: Serve) -> None:
    """It says loudly what is lost, serves, and still tells systemd and shuts down in time."""
    server = serve(PROBE="unknown-uvicorn", LOG_FORMAT="json")
    server.systemd.heard("READY=1")
    (degraded,) = [event for event in server.events() if event["level"] == "critical"]
    assert "uvicorn 0.99.0 is not among the tested" in degraded["event"]
    assert "lame duck" in degraded["event"]
    assert server.get()[0] == 200
    server.tell(SIGTERM)
    assert server.ended() == 0
    wait_until(lambda: "probe: shut down" in server.log(), "the application's shutdown")


def kill(pid: int) -> None:
    """End a process without warning."""
    os.kill(pid, SIGKILL)
