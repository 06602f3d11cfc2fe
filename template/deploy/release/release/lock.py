"""One command at a time: the others are told who is busy."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from release import say
from release.shell import Shell


@contextlib.contextmanager
def hold(path: Path, verb: str, shell: Shell) -> Iterator[None]:
    """
    Hold the lock, or raise a Problem that names who does.

    The kernel lets go of it when the process ends, however it ends; children do not inherit it. The
    file stays, because removing it would let two processes hold locks on two files of one name.
    """
    if shell.dry:
        yield
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        text = f"{path.parent} does not exist; run setup first: {say.TOOL} setup"
        raise say.Problem(text) from None
    except PermissionError:
        raise say.Problem(f"{path} cannot be written; run this as root") from None
    with os.fdopen(descriptor, "r+") as file:
        # Whoever can open it can hold it, even if only to read.
        os.fchmod(descriptor, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = file.read().strip() or "another command"
            raise say.Problem(f"{holder} is at work here; wait until it has finished") from None
        file.seek(0)
        file.truncate()
        file.write(f"{verb} (pid {os.getpid()})\n")
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()
