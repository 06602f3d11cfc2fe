"""The limit on request bodies."""

from collections.abc import Awaitable

from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import Receive, Scope, Send

_ANNOUNCE_A_BODY = (b"content-length", b"transfer-encoding")


class BodyLimitMiddleware(RequestBodyLimitMiddleware):
    """
    Starlette's limit, stepping aside for requests that have no body.

    FastAPI's `max_body_size` repeats this layer for each included router; here it is passed once,
    and by requests with a body only.
    """

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        """Count the body, unless HTTP/1 says that there is none (RFC 9112, section 6.3)."""
        if scope["type"] == "http" and (
            not scope["http_version"].startswith("1")
            or any(name in _ANNOUNCE_A_BODY for name, _ in scope["headers"])
        ):
            return super().__call__(scope, receive, send)
        return self.app(scope, receive, send)
