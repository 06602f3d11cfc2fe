"""The request id: accepted when well-formed, made otherwise."""

import random
import re
from collections.abc import Iterable
from contextvars import ContextVar

HEADER = b"x-request-id"

# Long enough for any tracing system, too plain to forge a log line or a header with.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{8,128}", re.ASCII)

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)


def choose_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the client's id when it is well-formed, else 32 random hexadecimal digits."""
    for name, value in headers:
        if name == HEADER:
            if _WELL_FORMED.fullmatch(value):
                return value.decode("ascii")
            break
    # Unique, not secret: a third of the cost of asking the kernel, and reseeded after a fork.
    return f"{random.getrandbits(128):032x}"
