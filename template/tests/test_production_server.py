"""The production server as `make serve` starts it: it answers, drains and stops. `make smoke`."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# For a start and a stop on a busy machine.
SECONDS = 100
# Of somebody else's supervision, or replaced below.
NOT_OURS = ("LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "PORT")


class Server:
    """One run of it, with two workers, on a free port."""

    def __init__(self, log: Path, environ: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        own = {"BIND": f"127.0.0.1:{self.port}", "WEB_CONCURRENCY": "2", "ACCEPT_SECONDS": "3"}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "app.main:app"],
                cwd=ROOT,
                env=inherited | environ | own,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, to be opened by its first request."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def get(self, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Ask on a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            return get(connection, path, headers)

    def is_ready(self) -> bool:
        """Tell whether it takes traffic; fail when it has ended."""
        assert self.process.poll() is None, "the server ended by itself"
        with contextlib.suppress(OSError):
            return self.get("/ready")[0] == 200
        return False


def get(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str]
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Ask, never twice, and read the whole answer."""
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


@pytest.fixture
def server(tmp_path: Path, server_environ: dict[str, str]) -> Iterator[Server]:
    """Start it, and leave nothing of it behind; pytest shows its log when the test fails."""
    server = Server(tmp_path / "log", server_environ)
    try:
        end = time.monotonic() + SECONDS
        while not server.is_ready():
            assert time.monotonic() < end, f"not ready after {SECONDS} s"
            time.sleep(0.05)
        yield server
    finally:
        # PermissionError is what macOS says of a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        print((tmp_path / "log").read_text(errors="replace"))


def test_it_answers(server: Server) -> None:
    """Probes are right, and a missing page is a problem with the id of its request."""
    status, headers, body = server.get("/health")
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert headers["Cache-Control"] == "no-store"
    assert json.loads(server.get("/ready")[2])["status"] == "ready"

    status, headers, body = server.get("/no/such/path", **{"X-Request-ID": "smoke-0123456789"})
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert headers["X-Request-ID"] == json.loads(body)["request_id"] == "smoke-0123456789"


def test_it_drains_and_loses_nothing(server: Server) -> None:
    """
    After TERM /ready is 503 while new connections are still accepted; whoever is connected gets
    an answer to every request, the last one says that the connection closes, and all ends with 0.
    """
    clients = 4
    served = threading.Barrier(clients + 1)

    def client() -> list[int]:
        """Ask until told to close. A lost request raises, and fails the test."""
        statuses, closing = [], None
        with contextlib.closing(server.connect()) as connection:
            while closing != "close":
                status, headers, _ = get(connection, "/no/such/path", {})
                statuses.append(status)
                closing = headers["Connection"]
                if len(statuses) == 1:
                    served.wait(SECONDS)
        return statuses

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        served.wait(SECONDS)
        server.process.send_signal(signal.SIGTERM)
        while (ready := server.get("/ready"))[0] != 503:
            assert ready[0] == 200
        assert json.loads(ready[2]) == {"status": "draining", "checks": {}}
        assert server.get("/health")[0] == 200
        answers = [status for one in running for status in one.result(SECONDS)]

    # A rate limit may refuse some of them: that is an answer too.
    assert set(answers) <= {404, 429}
    assert server.process.wait(SECONDS) == 0
    with pytest.raises((ProcessLookupError, PermissionError)):
        os.killpg(server.process.pid, 0)
