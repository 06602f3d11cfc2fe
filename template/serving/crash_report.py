"""The report of a crash: the traceback that a dying worker could not log itself, for the master."""

import faulthandler
import tempfile
from typing import IO


class CrashReport:
    """
    A file that the interpreter writes tracebacks of a dying worker to.

    gunicorn ends a worker whose event loop is blocked by SIGABRT, and says nothing but WORKER
    TIMEOUT. faulthandler writes the guilty line, from a C signal handler and therefore as it likes;
    in this file it does not break the log, and the master can log it as one event.
    """

    def __init__(self, directory: str | None) -> None:
        """Called in the master, so that both processes have the file open. It has no name."""
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115

    def install(self) -> None:
        """In the worker: have SIGABRT, SIGSEGV and the like write a traceback of every thread."""
        faulthandler.enable(self._file)

    def exit_after(self, seconds: float) -> None:
        """
        In the worker: write the tracebacks and exit, unless the process has ended by then.

        It runs in a thread that needs no interpreter lock, so nothing can hold it up: neither the
        application's shutdown nor a thread that does not end.
        """
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._file)

    def read(self) -> str:
        """In the master, after the death: what was written, and often that is nothing."""
        self._file.seek(0)
        return self._file.read().decode(errors="replace").strip()

    def close(self) -> None:
        """Forget the file."""
        self._file.close()
