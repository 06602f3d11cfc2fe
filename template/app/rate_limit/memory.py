"""Memory that all workers of the service share, also those of two generations during a deploy."""

import fcntl
import mmap
import os
import secrets
import stat
import tempfile
from pathlib import Path

import structlog

from app.rate_limit.table import SEED_BYTES, SIZE

logger = structlog.stdlib.get_logger(__name__)

# A file that is never written to a disk. The server cannot hand the memory down: workers of two
# generations have no common ancestor.
SHARED_MEMORY = Path("/dev/shm")


def open_memory(name: str, folder: Path | None = None) -> memoryview:
    """
    Open the file, or make it.

    Where that fails the memory is this process's own, which the log says: each worker then allows
    as much as all of them should.
    """
    if folder is None:
        folder = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    path = folder / f"{name}-{os.geteuid()}"
    try:
        return memoryview(_map(path))
    except OSError as error:
        logger.warning("rate limit is not shared", path=str(path), reason=str(error))
    memory = mmap.mmap(-1, SIZE)
    memory[:SEED_BYTES] = secrets.token_bytes(SEED_BYTES)
    return memoryview(memory)


def _map(path: Path) -> mmap.mmap:
    # Anybody may put a file or a link of this name into the folder. No link is followed, and a file
    # that others own or can open is refused.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "r+b") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError("the file belongs to somebody else, or is open to others")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_size < SIZE:
            # In full, so that a lack of memory is an error here, and not a signal later.
            file.write(secrets.token_bytes(SEED_BYTES) + bytes(SIZE - SEED_BYTES))
            file.flush()
        # By name: the map keeps the file open, and with it the lock.
        fcntl.flock(file, fcntl.LOCK_UN)
        return mmap.mmap(file.fileno(), SIZE)
