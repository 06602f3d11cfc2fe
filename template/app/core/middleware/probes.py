"""`/health` and `/ready`, answered before the framework sees the request."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.readiness import Readiness

_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_RETRY_AFTER = (b"retry-after", b"1")


class ProbesMiddleware:
    """
    Answer liveness and readiness outside the framework.

    A probe answered here costs a third of a route and is, by its place, exempt from access log,
    host check and deadline.
    """

    def __init__(self, app: ASGIApp, readiness: Readiness, root_path: str) -> None:
        """`root_path` is the prefix that a proxy may leave on the path."""
        self.app = app
        self.readiness = readiness
        self.health_paths = frozenset({"/health", f"{root_path}/health"})
        self.ready_paths = frozenset({"/ready", f"{root_path}/ready"})

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a probe, pass everything else on; not a coroutine, which saves a frame."""
        if scope["type"] == "http":
            path = scope["path"]
            if path in self.health_paths:
                return _answer(scope, send, 200, b'{"status":"ok"}')
            if path in self.ready_paths:
                return self.answer_ready(scope, send)
        return self.app(scope, receive, send)

    async def answer_ready(self, scope: Scope, send: Send) -> None:
        """Answer with what the checks say."""
        ready, body = await self.readiness.report(scope.get("state", {}))
        await _answer(scope, send, 200 if ready else 503, body)


async def _answer(scope: Scope, send: Send, status: int, body: bytes) -> None:
    headers = [_JSON, _NO_STORE]
    if scope["method"] not in ("GET", "HEAD"):
        status, body = 405, b'{"status":"method not allowed"}'
        headers.append((b"allow", b"GET, HEAD"))
    elif status == 503:
        headers.append(_RETRY_AFTER)
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
