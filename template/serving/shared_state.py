"""Memory that master and workers share: workers write that they serve, the master that it stops."""

import fcntl
import mmap
import os
import sys
import tempfile

# The module is imported by the master before it forks, so this memory is the same for all. One byte
# is written by one process only, and reading a byte cannot tear: no lock is needed.
_SLOTS = 4093
_SERVED, _STOPPING, _EXPLAINED = 0, 1, 2
_FIRST_SLOT = 3
_memory = mmap.mmap(-1, _FIRST_SLOT + _SLOTS)

# A file without a name, to lock: what it takes to look at others' bytes and write one's own in a
# single step. The kernel takes such a lock back from a process that dies with it.
_turn = (
    os.memfd_create("turn") if sys.platform == "linux" else tempfile.TemporaryFile()  # noqa: SIM115
)


def _slot(age: int) -> int:
    # gunicorn numbers workers upwards for as long as the master lives: the slots are used in turns.
    return _FIRST_SLOT + age % _SLOTS


def enter(age: int) -> None:
    """Write down that the worker which gunicorn numbered `age` serves."""
    _memory[_slot(age)] = 1
    _memory[_SERVED] = 1


def leave(age: int) -> None:
    """Write down that it does not any more; for one that never did this is no change."""
    _memory[_slot(age)] = 0


def leave_in_turn(age: int, wanted: int) -> bool:
    """
    Write down that it does not any more, if `wanted` workers serve; false is "not now".

    Two that ask at once must not both find the other one there, and leave.
    """
    try:
        fcntl.lockf(_turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # It is somebody else's turn.
        return False
    try:
        if serving() < wanted:
            return False
        leave(age)
        return True
    finally:
        fcntl.lockf(_turn, fcntl.LOCK_UN)


def serving() -> int:
    """Count the workers that serve."""
    return _memory[_FIRST_SLOT:].count(1)


def any_has_served() -> bool:
    """
    Tell whether any worker of this master has ever served.

    Before, a worker that cannot start means that the service cannot. Afterwards it is an accident,
    and it must not stop the workers that do serve.
    """
    return _memory[_SERVED] == 1


def stop() -> None:
    """Write down that the master stops, and with it the service."""
    _memory[_STOPPING] = 1


def is_stopping() -> bool:
    """
    Tell whether the service stops.

    A worker that is told to stop while this is false is only being replaced.
    """
    return _memory[_STOPPING] == 1


def may_explain() -> bool:
    """
    Tell whether to say why the service cannot start: one worker does, or all would say the same.

    True once. (Two that ask in the same microsecond may both be told so.)
    """
    first = _memory[_EXPLAINED] == 0
    _memory[_EXPLAINED] = 1
    return first
