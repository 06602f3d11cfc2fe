"""What happens to a service in its life, while clients go on asking it."""

import contextlib
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from proving.load import Load
from proving.run import Run

EVENTS = ("steady", "deploy", "restart", "kill", "stop")
# Clients may just be about to write when a connection dies.
_BLIND_SECONDS = 0.1


class Stage:
    """A socket that stays, as systemd owns it, and the runs that serve on it, one after another."""

    def __init__(self, root: Path, folder: Path, environ: Mapping[str, str]) -> None:
        """`folder` is for what the runs leave; they get `environ`."""
        self._root, self._folder, self._environ = root, folder, environ
        # The queue is as long as that of the socket unit.
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self._runs: list[Run] = []

    def __enter__(self) -> Self:
        """Start the first run."""
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything that was started."""
        for run in self._runs:
            run.end()
        self._listener.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._listener.getsockname()
        return host, port

    def _start(self) -> None:
        folder = self._folder / str(len(self._runs) + 1)
        with uninterrupted():
            # Between its start and this list nobody would know what to end.
            self._runs.append(Run(self._root, folder, self._environ, self._listener))
        self._runs[-1].started()

    def perform(self, event: str, load: Load, seconds: float) -> None:
        """Let an event happen, and the load go on for so many seconds after it."""
        match event:
            case "deploy":
                old = self._runs[-1]
                self._start()
                old.stop()
            case "restart":
                self._runs[-1].stop()
                self._start()
            case "kill":
                load.tally.forgive_before = float("inf")
                gone = self._runs[-1].kill_a_worker()
                load.tally.forgive_before = gone + _BLIND_SECONDS
                self._runs[-1].started()
            case "stop":
                load.last_orders()
                self._runs[-1].stop()
        load.go_on(seconds)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a signal to end wait until the block is done."""
    waiting: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: waiting.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    if waiting:
        raise KeyboardInterrupt
