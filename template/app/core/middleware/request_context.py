"""The context of a request: its id, its access line, and a body for every error."""

import asyncio
import time

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.access_log import AccessLog
from app.core.context import REQUEST_ID_HEADER, choose_request_id, current_request_id
from app.core.middleware.deadline import SilentResponseError
from app.core.problems import problem_response

logger = structlog.stdlib.get_logger(__name__)

# What proxies log when the client closed the connection; no standard status exists.
CLIENT_CLOSED_REQUEST = 499
# Asking whether the client is still there costs as much as all else here. Before this time hardly
# anybody leaves.
NOTICEABLE_SECONDS = 0.1


class RequestContextMiddleware:
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
        header = (REQUEST_ID_HEADER, request_id.encode("ascii"))
        status = 0
        complete = False
        plain_error: Message | None = None

        def end(final: int) -> None:
            self.access_log.write(scope, request_id, final, time.perf_counter() - begun)

        async def send_with_id(message: Message) -> None:
            nonlocal status, complete, plain_error
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and _is_plain_text(message):
                    plain_error = message
                    return
                message["headers"] = [*message.get("headers", ()), header]
                await send(message)
                return
            last = not message.get("more_body", False)
            if plain_error is not None:
                start, plain_error = plain_error, None
                if last:
                    response = _as_problem(start, message, scope["path"])
                    start, message = await _messages_of(response, scope, receive)
                start["headers"] = [*start["headers"], header]
                await send(start)
            if last and not complete:
                complete = True
                # The server drops what is sent to a client that has left, without a word.
                if status >= 400 or time.perf_counter() - begun > NOTICEABLE_SECONDS:
                    gone = await _has_left(receive)
                    end(CLIENT_CLOSED_REQUEST if gone else status)
                else:
                    end(status)
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
            if not complete:
                end(status)


async def _has_left(receive: Receive) -> bool:
    """Ask the server whether the client has gone, without waiting."""
    asking = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    if asking.done():
        return asking.exception() is None and asking.result()["type"] == "http.disconnect"
    asking.cancel()
    return False


async def _messages_of(
    response: Response, scope: Scope, receive: Receive
) -> tuple[Message, Message]:
    """Return the two messages a small response consists of."""
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    await response(scope, receive, collect)
    start, body = messages
    return start, body


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
