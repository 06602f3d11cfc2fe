"""
Locks between the workers of a test run, and between test runs.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """
    Hold an exclusive lock on a file; it is released even when the process dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def one_of(names: Sequence[str]) -> Iterator[str]:
    """
    Hold the first of some names that nobody on this computer holds; wait for the last when all are taken.
    """
    with ExitStack() as stack:
        for name in names:
            file = stack.enter_context((Path(tempfile.gettempdir()) / f"{name}.lock").open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if name == names[-1] else fcntl.LOCK_NB))
            except BlockingIOError:
                continue
            yield name
            return
