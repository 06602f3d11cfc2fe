"""
Readiness at both ends of a process: `/ready` while it drains, and the gate of a deploy, where new
workers take no connection before the application says that it is ready.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping, Set
from dataclasses import dataclass
from typing import Any

from serving.environment import Environment, seconds, text

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Between two looks. A check's result is reused for a second anyway.
PERIOD_SECONDS = 0.25

_BODY = b'{"status":"draining","checks":{}}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"cache-control", b"no-store"),
    (b"retry-after", b"1"),
]


class DrainingReadiness:
    """
    Answer `/ready` with 503 once the process drains; pass everything else to the application.

    The application cannot do this itself: nobody tells it about the signal, and by the time its
    lifespan ends it is too late.
    """

    def __init__(self, app: App, environ: Environment) -> None:
        """ROOT_PATH is a prefix that some proxies leave on the path."""
        self.app = app
        self.draining = False
        self._paths = {"/ready", text(environ, "ROOT_PATH", "").rstrip("/") + "/ready"}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return the coroutine that answers; not being one itself saves a frame per request."""
        if (
            self.draining
            and scope["type"] == "http"
            and scope["path"] in self._paths
            and scope["method"] in ("GET", "HEAD")
        ):
            return _answer_draining(send)
        return self.app(scope, receive, send)


class StartupListener:
    """Call `started` when the application's startup is complete, by what ASGI itself says of it."""

    def __init__(self, app: App, started: Callable[[], None]) -> None:
        """See the class."""
        self.app = app
        self._started = started

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; listen to what the lifespan sends."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def listening(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._started()

        await self.app(scope, receive, listening)


@dataclass(frozen=True)
class GateConditions:
    """
    The conditions on which the first workers of a run accept connections.

    Runs share one socket, so a new one that serves already gets its part of the traffic. Whether it
    is ready has to be known before that, and only it can tell.
    """

    within: float
    """Seconds to become ready in; 0 is no gate."""
    forgiven: Set[str]
    """Checks that may be down: those that are down in the run that is being replaced, too."""

    @classmethod
    def of(cls, environ: Environment) -> "GateConditions":
        """Read READY_GATE_SECONDS and READY_GATE_FORGIVES, a comma-separated list of checks."""
        within = seconds(environ, "READY_GATE_SECONDS", 0)
        names = text(environ, "READY_GATE_FORGIVES", "").split(",")
        return cls(within, frozenset(name.strip() for name in names) - {""})

    def refuses(self, status: int, body: bytes) -> str | None:
        """Say what is not ready in an answer of `/ready`, or nothing."""
        if status == 200:
            return None
        try:
            checks = dict(json.loads(body)["checks"])
            down = {name for name, check in checks.items() if _is_missing(check)}
        except (ValueError, KeyError, TypeError):
            return f"/ready answers {status}"
        if unforgiven := sorted(down - self.forgiven):
            return f"down: {', '.join(unforgiven)}"
        # Not ready, but for nothing that a check has found.
        return None if down else f"/ready answers {status}"


class ReadinessGate:
    """Hold the application's "startup complete" back until the gate is passed."""

    def __init__(self, app: App, conditions: GateConditions) -> None:
        """See the class."""
        self.app = app
        self._conditions = conditions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; between startup and its announcement, ask `/ready`."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        failure: str | None = None

        async def receiving() -> Message:
            return {"type": "lifespan.shutdown"} if failure else await receive()

        async def holding(message: Message) -> None:
            nonlocal failure
            if failure:
                return
            complete = message["type"] == "lifespan.startup.complete"
            if complete and (reason := await self._wait(scope)):
                failure = f"Not ready within {self._conditions.within:g} s, so no traffic is taken"
                failure += f": {reason}"
                return
            await send(message)

        try:
            await self.app(scope, receiving, holding)
        finally:
            # Not before the application has closed what it had opened.
            if failure:
                await send({"type": "lifespan.startup.failed", "message": failure})

    async def _wait(self, lifespan: Scope) -> str | None:
        """Ask until the answer is good enough; return what is wrong when the time is up."""
        deadline = time.monotonic() + self._conditions.within
        while True:
            reason = self._conditions.refuses(*await self._ask(lifespan))
            if reason is None or time.monotonic() + PERIOD_SECONDS > deadline:
                return reason
            await asyncio.sleep(PERIOD_SECONDS)

    async def _ask(self, lifespan: Scope) -> tuple[int, bytes]:
        """Send `GET /ready` through the application, as a server would."""
        status, body = 0, b""

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            body += message.get("body", b"")

        scope: Scope = {
            "type": "http",
            "asgi": lifespan["asgi"],
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/ready",
            "raw_path": b"/ready",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "client": None,
            "server": None,
            "state": dict(lifespan.get("state", {})),
        }
        await self.app(scope, receive, send)
        return status, body


async def _answer_draining(send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": _HEADERS})
    # For HEAD the server leaves the body out.
    await send({"type": "http.response.body", "body": _BODY})


def _is_missing(check: object) -> bool:
    return isinstance(check, dict) and check["required"] and check["status"] != "up"
