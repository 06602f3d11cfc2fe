"""The gate of a deploy: new workers take no connection before the application says it is ready."""

import asyncio
import json
import time
from collections.abc import Set
from dataclasses import dataclass

from serving.environment import Environment, seconds, text
from serving.front import App, Message, Receive, Scope, Send

# Between two looks. A check's result is reused for a second anyway.
PERIOD_SECONDS = 0.25


@dataclass(frozen=True)
class Gate:
    """
    What has to be true before the first workers of a run accept connections.

    Runs share one socket, so a new one that serves already gets its part of the traffic. Whether it
    is ready has to be known before that, and only it can tell.
    """

    within: float
    """Seconds to become ready in; 0 is no gate."""
    forgiven: Set[str]
    """Checks that may be down: those that are down in the run that is being replaced, too."""

    @classmethod
    def of(cls, environ: Environment) -> "Gate":
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


class Gated:
    """Hold the application's "startup complete" back until the gate is passed."""

    def __init__(self, app: App, gate: Gate) -> None:
        """See the class."""
        self.app = app
        self._gate = gate

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
                failure = f"Not ready within {self._gate.within:g} s, so no traffic is taken: "
                failure += reason
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
        deadline = time.monotonic() + self._gate.within
        while True:
            reason = self._gate.refuses(*await self._ask(lifespan))
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


def _is_missing(check: object) -> bool:
    return isinstance(check, dict) and check["required"] and check["status"] != "up"
