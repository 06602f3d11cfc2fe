"""One line per request, on standard output."""

import asyncio
import logging
import os
import sys
import time
from json.encoder import encode_basestring_ascii as quote
from select import PIPE_BUF

import structlog
from starlette.types import Scope

from app.core.context import principal_of, route_of
from app.core.logs import LogSettings

STDOUT = 1
logger = structlog.stdlib.get_logger(__name__)


class AccessLog:
    """
    Writes the access lines.

    The hottest line of the service, so it is put together by hand: a fraction of the cost of a log
    record that is made, formatted and serialised. Its keys are those of every other line.
    """

    def __init__(self, settings: LogSettings) -> None:
        """Lines are written at the levels `debug` and `info`."""
        # Python has no standard output where descriptor 1 was closed at the start; what is written
        # to that number now would go to whatever was opened since.
        self.enabled = settings.level_number <= logging.INFO and sys.stdout is not None
        self.complained = False
        self.compose = _compose_json if settings.as_json else _compose_text
        self.lines: list[bytes] = []
        self.size = 0

    def write(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        """
        Write the line of a request that is over, with those of its turn of the event loop.

        Under load one system call serves several lines. It is made outside of the request, so that
        a standard output that is closed or full fails no request.
        """
        if not self.enabled:
            return
        line = self.compose(scope, request_id, status, seconds * 1000).encode()
        # More than this the kernel may mix with what another worker writes to the same pipe.
        if self.size + len(line) > PIPE_BUF:
            self.flush()
        if not self.lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self.lines.append(line)
        self.size += len(line)

    def flush(self) -> None:
        """Write what has come together."""
        if self.lines:
            lines, self.lines, self.size = self.lines, [], 0
            try:
                os.write(STDOUT, b"".join(lines))
            except OSError as error:
                if not self.complained:
                    self.complained = True
                    logger.error("access lines cannot be written", reason=str(error))


def _compose_json(scope: Scope, request_id: str, status: int, milliseconds: float) -> str:
    route = route_of(scope)
    client = scope.get("client")
    principal = principal_of(scope)
    caller = f',"principal":{quote(principal.id)}' if principal else ""
    return (
        f'{{"timestamp":"{_timestamp()}","level":"info","logger":"access","event":"request",'
        f'"request_id":"{request_id}","method":{quote(scope["method"])},'
        f'"path":{quote(_path_of(scope))},"route":{quote(route) if route else "null"},'
        f'"status":{status},"duration_ms":{milliseconds:.1f},'
        f'"client":{quote(client[0]) if client and client[0] else "null"}{caller}}}\n'
    )


def _compose_text(scope: Scope, request_id: str, status: int, milliseconds: float) -> str:
    client = scope.get("client")
    return (
        f"{_timestamp()} {scope['method']} {_path_of(scope)} {status} "
        f"{milliseconds:.1f} ms {client[0] if client else '-'} {request_id}\n"
    )


def _path_of(scope: Scope) -> str:
    """Return the path as it was sent, still percent-encoded."""
    raw: bytes | None = scope.get("raw_path")
    return raw.decode("latin-1") if raw else str(scope["path"])


_second = 0
_prefix = ""


def _timestamp() -> str:
    """Return the time of day; the date is formatted once a second."""
    global _second, _prefix
    now = time.time()
    second = int(now)
    if second != _second:
        _prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = second
    return f"{_prefix}.{int((now - second) * 1000):03d}Z"
