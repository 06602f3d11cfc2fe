"""A real gunicorn in its own process group, serving `probe_app`, as the tests see it."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PATIENCE = 15.0


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
    """Look every 20 ms whether a condition holds; fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.02)


class Server:
    """One run of the production server; leaving the context kills whatever is left of it."""

    def __init__(self, directory: Path, **environ: str) -> None:
        """Start it on a free port; the variables are all it gets, short times by default."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._log = directory / f"server-{self.port}.log"
        defaults = {
            "PATH": os.environ["PATH"],
            "BIND": f"127.0.0.1:{self.port}",
            "WEB_CONCURRENCY": "1",
            "REQUEST_SECONDS": "1",
            "ACCEPT_SECONDS": "0",
            "LAME_DUCK_SECONDS": "1",
            "HEARTBEAT_SECONDS": "5",
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--pythonpath", str(HERE), "probe_app:app"],
                cwd=ROOT,
                env=defaults | environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # PermissionError is what macOS says of a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        # pytest shows it when the test has failed.
        print(self.log())

    def log(self) -> str:
        """Return all that was written so far."""
        return self._log.read_text(errors="replace")

    def logged(self, event: str, times: int = 1) -> Self:
        """Wait for an event in the log."""
        wait_until(lambda: self.log().count(event) >= times, f"{times} × {event!r} in the log")
        return self

    def started(self, workers: int = 1) -> Self:
        """Wait until so many workers have completed their startup, ever."""
        return self.logged("Application startup complete", workers)

    def workers(self) -> list[int]:
        """Return the process ids of all workers that ever started."""
        return [int(pid) for pid in re.findall(r"probe: started (\d+)", self.log())]

    def events(self) -> list[dict[str, Any]]:
        """Return the lines that are JSON."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.connect()
        return connection

    def get(self, path: str = "/") -> tuple[int, bytes]:
        """Ask on a connection of its own."""
        with contextlib.closing(self.connect()) as connection:
            return ask(connection, path)[:2]

    def tell(self, number: signal.Signals) -> float:
        """Send a signal to the master; return when."""
        self.process.send_signal(number)
        return time.monotonic()

    def ended(self) -> int:
        """Wait for the end of the master; return its exit code."""
        return self.process.wait(PATIENCE)


def ask(
    connection: http.client.HTTPConnection, path: str = "/", method: str = "GET"
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Send a request on an open connection and read the whole answer."""
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, response.read(), response.headers


class Systemd:
    """What listens on NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        """An address that begins with `@` is in the abstract namespace, as systemd writes it."""
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0.05)
        self.received: list[tuple[float, str]] = []

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def has(self, assignment: str, since: float = 0) -> bool:
        """Tell whether a message with this assignment has come since a moment."""
        self._read()
        return any(assignment in text and moment >= since for moment, text in self.received)

    def heard(self, assignment: str, since: float = 0) -> None:
        """Wait for a message with this assignment."""
        wait_until(lambda: self.has(assignment, since), f"{assignment} from the service")

    def silence(self, assignment: str, seconds: float) -> None:
        """Wait for so long a pause between messages with this assignment."""

        def is_silent() -> bool:
            now = time.monotonic()
            return not self.has(assignment, now - seconds)

        wait_until(is_silent, f"{seconds:g} s without {assignment}")

    def _read(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                self.received.append((time.monotonic(), self._socket.recv(4096).decode()))
