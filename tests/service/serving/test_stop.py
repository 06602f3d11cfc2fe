"""The stop of the service: nobody who was promised an answer goes without."""

import contextlib
import re
import signal
import threading
import time
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM

import pytest

from tests.service.serving.conftest import Serve
from tests.service.serving.running import PATIENCE, Server, ask, wait_until

# Nobody has the patience for these: what ends in time has not waited for them.
LONG = {"ACCEPT_SECONDS": "60", "LAME_DUCK_SECONDS": "60", "REQUEST_SECONDS": "60"}


def test_term_accepts_on_while_ready_says_no(serve: Serve) -> None:
    """For ACCEPT_SECONDS new connections are answered, and /ready is 503 on old and new ones."""
    server = serve(WEB_CONCURRENCY="2", ACCEPT_SECONDS="3").started(2)
    with contextlib.closing(server.connect()) as kept:
        assert ask(kept)[0] == 200
        told = server.tell(SIGTERM)
        wait_until(lambda: server.get("/ready")[0] == 503, "503 on new connections")
        status, body, headers = ask(kept, "/ready")
        assert (status, body) == (503, b'{"status":"draining","checks":{}}')
        assert headers["Connection"] is None
        assert ask(kept, "/ready", "HEAD")[0] == 503
        for _ in range(20):
            assert server.get()[0] == 200
        assert server.ended() == 0
    assert time.monotonic() - told >= 3
    assert server.log().count("probe: shut down") == 2


def test_a_running_request_is_finished(serve: Serve) -> None:
    """A request that began before TERM is answered, and its connection is closed by saying so."""
    server = serve().started()
    with contextlib.closing(server.connect()) as running:
        running.request("GET", "/slow?seconds=0.8")
        server.logged("probe: began").tell(SIGTERM)
        response = running.getresponse()
        assert (response.status, response.headers["Connection"]) == (200, "close")
    assert server.ended() == 0


def test_an_idle_connection_is_answered_once_more(serve: Serve) -> None:
    """The lame duck: who held a connection open gets an answer that says it was the last."""
    server = serve(LAME_DUCK_SECONDS="60").started()
    with (
        contextlib.closing(server.connect()) as used,
        contextlib.closing(server.connect()) as unused,
    ):
        assert ask(used)[0] == 200
        server.tell(SIGTERM)
        wait_until(lambda: refused(server), "no new connections")
        for idle in (used, unused):
            status, _, headers = ask(idle, "/")
            assert (status, headers["Connection"]) == (200, "close")
    assert server.ended() == 0


def test_an_open_stream_does_not_keep_the_application_from_its_shutdown(serve: Serve) -> None:
    """A stream without end is cut when its time is up, and the lifespan ends properly."""
    server = serve(LAME_DUCK_SECONDS="0.2", REQUEST_SECONDS="0.3").started()
    with contextlib.closing(server.connect()) as stream:
        stream.request("GET", "/stream")
        stream.getresponse().read(1)
        server.tell(SIGTERM)
        assert server.ended() == 0
    assert "probe: shut down" in server.log()
    assert "was sent SIGKILL" not in server.log()


def test_a_shutdown_that_hangs_is_abandoned_and_said(serve: Serve) -> None:
    """The end of the lifespan is bounded as well, and does not hang in silence."""
    short = {"LAME_DUCK_SECONDS": "0", "REQUEST_SECONDS": "0.1"}
    hanging, blocked = serve(PROBE="hangs", **short), serve(PROBE="blocks", **short)
    for server in (hanging, blocked):
        server.started().tell(SIGTERM)
    assert hanging.ended() == blocked.ended() == 0
    assert "The application's shutdown did not end in time: abandoned" in hanging.log()
    assert " in block" in blocked.log()
    assert "was sent SIGKILL" not in hanging.log() + blocked.log()


@pytest.mark.parametrize("number", [SIGINT, SIGQUIT])
def test_int_and_quit_are_quick(serve: Serve, number: signal.Signals) -> None:
    """Ctrl-C does not wait for anybody, and the application still shuts down."""
    server = serve(WEB_CONCURRENCY="2", **LONG).started(2)
    with contextlib.closing(server.connect()) as idle, contextlib.closing(server.connect()) as slow:
        assert ask(idle)[0] == 200
        slow.request("GET", "/slow?seconds=60")
        server.logged("probe: began").tell(number)
        assert server.ended() == 0
    assert server.log().count("probe: shut down") == 2


def test_int_ends_a_drain_early(serve: Serve) -> None:
    """An operator who lost patience after TERM can still press Ctrl-C."""
    server = serve(**LONG).started()
    server.tell(SIGTERM)
    wait_until(lambda: server.get("/ready")[0] == 503, "the accept phase")
    server.tell(SIGINT)
    assert server.ended() == 0
    assert "probe: shut down" in server.log()


def test_term_does_not_wait_for_a_start(serve: Serve) -> None:
    """A worker that is still starting has nobody to drain."""
    server = serve(PROBE_START_SECONDS="60", **LONG).logged("Waiting for application startup")
    server.tell(SIGTERM)
    assert server.ended() == 0


def test_an_application_that_has_started_is_shut_down(serve: Serve) -> None:
    """TERM between the application's start and the worker's own leaves nothing open."""
    server = serve(PROBE="stopped as it starts").logged("probe: shut down")
    assert "ASGI 'lifespan' protocol appears unsupported" not in server.log()


def test_a_worker_that_missed_the_signal_stops_too(serve: Serve) -> None:
    """Until a new worker has handlers of its own, gunicorn's take its TERM, and do nothing."""
    server = serve(PROBE="deaf").started()
    server.tell(SIGTERM)
    assert server.ended() == 0
    assert "probe: shut down" in server.log()


def test_workers_follow_a_killed_master(serve: Serve) -> None:
    """No orphan keeps the port, and the application shuts down."""
    server = serve(WEB_CONCURRENCY="2").started(2)
    server.tell(SIGKILL)
    server.logged("Worker exiting", 2)
    wait_until(lambda: refused(server), "nobody holds the port")
    assert server.log().count("probe: shut down") == 2


def test_a_reload_is_no_drain(serve: Serve) -> None:
    """HUP replaces the workers; the service stays ready, and old connections are told to close."""
    server = serve(ACCEPT_SECONDS="0.5", LAME_DUCK_SECONDS="60").started()
    with contextlib.closing(server.connect()) as kept:
        assert ask(kept)[0] == 200
        server.tell(SIGHUP)
        while True:
            status, _, headers = ask(kept, "/ready")
            assert status == server.get("/ready")[0] == 200
            if headers["Connection"] == "close":
                break
            time.sleep(0.05)
    server.started(2).logged("Worker exiting")
    assert server.get("/ready")[0] == 200


def test_recycling_loses_nothing(serve: Serve) -> None:
    """Workers go one after the other after MAX_REQUESTS, and let connections go without a loss."""
    server = serve(WEB_CONCURRENCY="2", MAX_REQUESTS="40").started(2)
    answers: list[int] = []  # A client that loses a request raises, and pytest fails the test.

    def client() -> None:
        connection = server.connect()
        while len(server.workers()) < 5:
            status, _, headers = ask(connection, "/", "POST" if len(answers) % 2 else "GET")
            answers.append(status)
            if headers["Connection"] == "close":
                connection.close()
                connection = server.connect()
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(4 * PATIENCE)
    assert set(answers) == {200}
    assert not [thread for thread in clients if thread.is_alive()]
    steps = re.findall("Recycled after|startup complete", server.started(5).log())
    assert steps[:8] == ["startup complete"] * 2 + ["Recycled after", "startup complete"] * 3


def refused(server: Server) -> bool:
    """Tell whether a new connection is refused."""
    try:
        server.connect().close()
    except OSError:
        return True
    return False
