"""
Commands that run while a test does something else: watched by what they say, and killed at the right moment.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from signal import Signals

import pytest

from tests.support import failure, processes


class Job:
    """
    A command that runs in the machine, to be waited for or to be killed.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            while character := stream.read(1):
                self._said.append(character)

    @property
    def said(self) -> str:
        """
        Its output so far, on both streams.
        """
        return "".join(self._said)

    def wait_for(self, pattern: str, *, seconds: float = 120) -> None:
        """
        Wait until it says something, before it ends.
        """
        __tracebackhide__ = True
        processes.wait_until(
            lambda: bool(re.search(pattern, self.said)) or not self._reader.is_alive(), seconds=seconds, what=pattern
        )
        if not re.search(pattern, self.said):
            pytest.fail(failure.frame(self.said, title=f"it ended without {pattern!r}"), pytrace=False)

    @property
    def pid(self) -> int | None:
        """
        The process, as the host sees it: the child of the one that entered the machine.
        """
        return next(iter(processes.children(self.process.pid)), None)

    def kill(self, number: Signals, *, group: bool = False) -> None:
        """
        Send a signal to the command alone, or, as a terminal does, to everything it started as well.
        """
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(self.process.pid, number)
            elif (pid := self.pid) is not None:
                os.kill(pid, number)

    def end(self, *, seconds: float = 120) -> int:
        """
        Wait for its end; the exit code.
        """
        self._reader.join(seconds)
        return self.process.wait(10)
