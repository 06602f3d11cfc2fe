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
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
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
        # The address of a socket has room for about 100 characters: pytest's folders are too deep.
        self._short = tempfile.TemporaryDirectory()
        address = environ.get("NOTIFY_SOCKET", f"{self._short.name}/notify")
        self.systemd = Systemd(address)
        defaults = {
            "PATH": os.environ["PATH"],
            "BIND": f"127.0.0.1:{self.port}",
            "WEB_CONCURRENCY": "1",
            "REQUEST_SECONDS": "1",
            "ACCEPT_SECONDS": "0",
            "LAME_DUCK_SECONDS": "1",
            "HEARTBEAT_SECONDS": "5",
            "NOTIFY_SOCKET": address,
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
        self.systemd.close()
        self._short.cleanup()
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
        """
        Wait until so many workers serve, ever: after their startup is complete, and in the log.
        """
        self.systemd.heard("workers serve", workers)
        return self

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
    """The listener on NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        """An address that begins with `@` is in the abstract namespace, as systemd writes it."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._received: list[tuple[float, str]] = []
        # The kernel keeps ten messages for a reader who is busy; the service drops the rest.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Stop listening."""
        self._socket.sendto(b"", self._address)
        self._reader.join()
        self._socket.close()

    def count(self, assignment: str, since: float = 0) -> int:
        """Count the messages with this assignment that have come since a moment."""
        received = list(self._received)
        return sum(assignment in text and moment >= since for moment, text in received)

    def heard(self, assignment: str, times: int = 1, *, since: float = 0) -> None:
        """Wait for so many messages with this assignment."""
        what = f"{times} × {assignment!r} from the service"
        wait_until(lambda: self.count(assignment, since) >= times, what)

    def silence(self, assignment: str, seconds: float) -> None:
        """Wait for so long a pause between messages with this assignment."""

        def is_silent() -> bool:
            return self.count(assignment, since=time.monotonic() - seconds) == 0

        wait_until(is_silent, f"{seconds:g} s without {assignment}")

    def _read(self) -> None:
        while message := self._socket.recv(4096):
            self._received.append((time.monotonic(), message.decode()))
