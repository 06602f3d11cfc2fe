"""Around every request: its id, its access line, and no error without a body."""

import asyncio
import time

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.access_log import AccessLog
from app.core.deadline import SilentResponseError
from app.core.problems import problem_response
from app.core.request_id import HEADER, choose_request_id, current_request_id

logger = structlog.stdlib.get_logger(__name__)

# nginx's status for "the client closed the connection"; no standard one exists.
CLIENT_CLOSED_REQUEST = 499


class Frame:
    """
    Give every request an id, every response that id, and every request one access line.

    It also turns the plain-text errors of ready-made middleware (host check, body limit) into
    problems.
    """

    def __init__(self, app: ASGIApp, access_log: AccessLog) -> None:
        """Wrap an app."""
        self.app = app
        self.access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        request_id = choose_request_id(scope["headers"])
        # Never reset: servers run each request in a context of its own, and what the server logs
        # after the response is still about this one.
        current_request_id.set(request_id)
        if kind == "websocket":
            await self.app(scope, receive, send)
            return

        begun = time.perf_counter()
        header = (HEADER, request_id.encode("ascii"))
        status = 0
        complete = False
        plain_error: Message | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status, complete, plain_error
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and _is_plain_text(message):
                    plain_error = message
                    return
                message["headers"] = [*message.get("headers", ()), header]
            elif plain_error is not None:
                response = _as_problem(plain_error, message, scope["path"])
                response.raw_headers.append(header)
                plain_error, complete = None, True
                await response(scope, receive, send)
                return
            elif not message.get("more_body", False):
                complete = True
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
            if not complete:
                status = CLIENT_CLOSED_REQUEST
        except SilentResponseError as error:
            # Returning without the last part makes the server close the connection.
            logger.warning("response cut", path=scope["path"], reason=str(error))
        except asyncio.CancelledError:
            # The server gives up waiting for this request at the end of its stop.
            status = status or 503
            raise
        except Exception:
            logger.exception("unhandled error", method=scope["method"], path=scope["path"])
            status = status or 500
            if not complete:
                raise
        finally:
            self.access_log.write(scope, request_id, status, time.perf_counter() - begun)


def _is_plain_text(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/plain")
        for name, value in start.get("headers", ())
    )


def _as_problem(start: Message, body: Message, path: str) -> Response:
    """Make a problem of a plain-text error, keeping its other headers."""
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in start["headers"]
        if name.lower() not in (b"content-type", b"content-length")
    }
    detail = body.get("body", b"").decode("utf-8", "replace")
    return problem_response(start["status"], detail, path, headers=headers)
