"""The door between the server and the application: it knows whether the process is leaving."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving.environment import Environment, text

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_BODY = b'{"status":"draining","checks":{}}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"cache-control", b"no-store"),
    (b"retry-after", b"1"),
]


class Front:
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


class Announced:
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


async def _answer_draining(send: Send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": _HEADERS})
    # For HEAD the server leaves the body out.
    await send({"type": "http.response.body", "body": _BODY})
