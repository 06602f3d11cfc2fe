"""
Namespaces of Linux: a thread of a test can do its talking in the network of a machine.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def enter_network(file: Path) -> None:
    """
    Put the calling thread into a network, named by its file (`/proc/PID/ns/net`), for the rest of its life.
    """
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # os.setns is there from Python 3.12 on.
        if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(file))
    finally:
        os.close(handle)
