"""What the tool tells people: steps, lines, and problems."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

# What people type, in the project's directory; and how it is called where that would be long.
TOOL = "python3 deploy/release"
SHORT = f"(release is `{TOOL}`, with --host USER@HOST from elsewhere)"

_half_line = False


class Problem(Exception):
    """
    Something a person has to know: what happened, and what to do about it.

    It ends the command with this one line and exit code 1; `details` are lines printed before it.
    """

    def __init__(self, message: str, details: str = "") -> None:
        """See the class."""
        super().__init__(message)
        self.details = details


def line(text: str = "") -> None:
    """Print a line."""
    finish_line()
    _print(f"{text}\n")


def done(text: str, dry: bool) -> None:
    """Print what has been reached; after a dry run, that it was none."""
    line("nothing was changed" if dry else text)


def warn(text: str) -> None:
    """Print a line that must not be overlooked."""
    finish_line()
    print(f"warning: {text}", file=sys.stderr, flush=True)


def problem(error: Problem) -> None:
    """Print why a command ends."""
    finish_line()
    if error.details:
        print(error.details.rstrip("\n"), file=sys.stderr)
    print(f"problem: {error}", file=sys.stderr, flush=True)


def finish_line() -> None:
    """End the line of a step that is not finished, because something else is printed."""
    global _half_line
    if _half_line:
        _half_line = False
        _print("\n")


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has left, a connection perhaps; what was begun is brought to its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Clear up without being interrupted once more."""
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


class Steps:
    """Numbered steps: `[3/7] start run 12 (2.1 s)`."""

    def __init__(self, total: int) -> None:
        """Announce how many steps there will be."""
        self.total = total
        self.number = 0

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Do one step; the time is added when it is done."""
        global _half_line
        self.number += 1
        finish_line()
        _print(f"[{self.number}/{self.total}] {text}")
        _half_line = True
        began = time.monotonic()
        yield
        took = f"({time.monotonic() - began:.1f} s)"
        _print(f" {took}\n" if _half_line else f"      {took}\n")
        _half_line = False
