"""The request deadline: no first byte in time is a 504, and a silent stream is cut."""

import asyncio
from typing import Any, cast

from fastapi import Depends
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.problems import problem_response

_KEY = "app.deadline"


class SilentResponseError(Exception):
    """A response that had begun fell silent for too long; it cannot be completed any more."""


class Deadline:
    """
    Cancel a request that has not sent its first byte in time.

    Once the response has begun, the same number of seconds bounds the silence between two of its
    parts; then SilentResponseError is raised. WebSockets are exempt.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        """`seconds` is the request budget."""
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app under the deadline."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        budget = scope[_KEY] = Budget(self.seconds)

        async def send_and_restart(message: Message) -> None:
            budget.started = True
            budget.restart()
            await send(message)

        try:
            await self.app(scope, receive, send_and_restart)
        except asyncio.CancelledError:
            if not budget.is_spent():
                raise
        finally:
            budget.timer.cancel()
        if not budget.spent:
            return
        if budget.started:
            raise SilentResponseError(f"nothing sent for {budget.seconds:g} s")
        response = problem_response(
            504, f"No answer within {budget.seconds:g} seconds.", scope["path"]
        )
        await response(scope, receive, send)


class Budget:
    """
    The seconds that one request has left.

    Like `asyncio.timeout`, but a restart only notes the time, and the timer looks at it when it
    fires: one timer for a request, where rescheduling makes one for each part of its response.
    """

    __slots__ = ("begun", "loop", "seconds", "spent", "started", "task", "timer")

    def __init__(self, seconds: float) -> None:
        """Start counting for the current task."""
        self.task = cast("asyncio.Task[object]", asyncio.current_task())
        self.loop = asyncio.get_running_loop()
        self.seconds = seconds
        self.begun = self.loop.time()
        self.started = False
        self.spent = False
        self.timer = self.loop.call_later(seconds, self.look)

    def restart(self) -> None:
        """Count from now."""
        self.begun = self.loop.time()

    def set(self, seconds: float) -> None:
        """Give the request this many seconds, from now."""
        self.seconds = seconds
        self.restart()
        self.timer.cancel()
        self.timer = self.loop.call_later(seconds, self.look)

    def look(self) -> None:
        """Cancel the task if its time is over, else look again when it will be."""
        left = self.begun + self.seconds - self.loop.time()
        if left > 0:
            self.timer = self.loop.call_later(left, self.look)
        else:
            self.spent = True
            self.task.cancel()

    def is_spent(self) -> bool:
        """Tell, of a cancellation, whether it was ours and ours alone; take it back then."""
        return self.spent and self.task.uncancel() == 0


def deadline(seconds: float) -> Any:
    """
    Give a route its own deadline: `@router.get("/report", dependencies=[deadline(120)])`.

    One longer than REQUEST_SECONDS is still cut short by a stop of the service, and by a proxy that
    is not told: raise the budget of the whole service where many routes need it.
    """

    async def set_deadline(request: Request) -> None:
        budget = request.scope.get(_KEY)
        if budget is not None:
            budget.set(seconds)

    return Depends(set_deadline)
