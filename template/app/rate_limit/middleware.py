"""Refuse what one client sends too fast."""

import math
import time
from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.problems import problem_response
from app.rate_limit.table import Table


class RateLimitMiddleware:
    """
    Count requests and the beginnings of WebSockets, and answer 429 to what is too much.

    The client is who the proxy headers say; one without an address is not counted, because it
    would share its limit with all others. Probes never come here.
    """

    def __init__(self, app: ASGIApp, per_second: float, burst: int) -> None:
        """`burst` is how many requests may come at once."""
        self.app = app
        self.per_second = per_second
        self.interval = round(1e9 / per_second)
        self.burst = burst

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on, or refuse it; not a coroutine, which saves a frame."""
        # From the lifespan; where none was run, nothing is counted.
        table: Table | None = scope.get("state", {}).get("rate_limit")
        client = scope.get("client")
        if table is not None and client and client[0]:
            wait = table.count(client[0], time.monotonic_ns(), self.interval, self.burst)
            if wait:
                return self.refuse(scope, receive, send, wait)
        return self.app(scope, receive, send)

    async def refuse(self, scope: Scope, receive: Receive, send: Send, wait: int) -> None:
        """Say when to come back; a WebSocket server that cannot answers 403 instead."""
        if scope["type"] == "websocket" and "websocket.http.response" not in scope["extensions"]:
            await send({"type": "websocket.close"})
            return
        response = problem_response(
            429,
            f"More than {self.per_second:g} requests a second.",
            scope["path"],
            headers={"Retry-After": str(math.ceil(wait / 1e9))},
        )
        await response(scope, receive, send)
