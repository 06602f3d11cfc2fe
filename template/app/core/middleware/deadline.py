"""The request deadline: no first byte in time is a 504, and a silent stream is cut."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.problems import problem_response

_KEY = "app.deadline"


class SilentResponseError(Exception):
    """A response that had begun fell silent for too long; it cannot be completed any more."""


class DeadlineMiddleware:
    """
    Cancel a request that has not sent its first byte in time.

    Once the response has begun, the same number of seconds bounds the silence between two of its
    parts; then SilentResponseError is raised. Work after the last part has no deadline, and neither
    have WebSockets.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        """`seconds` is the request budget."""
        self.app = app
        self.seconds = seconds
        self.threads: CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app under the deadline."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                self.threads = current_default_thread_limiter()
            await self.app(scope, receive, send)
            return

        async def refuse() -> None:
            response = problem_response(
                504, f"No answer within {budget.seconds:g} seconds.", scope["path"]
            )
            await response(scope, receive, send)

        budget = scope[_KEY] = Budget(self.seconds, self.threads, refuse)

        async def send_and_restart(message: Message) -> None:
            if budget.spent:
                return
            budget.started = True
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                budget.timer.cancel()
            else:
                budget.restart()
            await send(message)

        try:
            await self.app(scope, receive, send_and_restart)
        except asyncio.CancelledError:
            if not budget.takes_back_cancellation():
                raise
        finally:
            budget.timer.cancel()
            # `refuse` knows the budget: a cycle, which the garbage collector would have to find.
            del budget.refuse
        if budget.refusal is not None:
            await budget.refusal
        elif budget.spent and budget.started:
            raise SilentResponseError(f"nothing sent for {budget.seconds:g} s")
        elif budget.spent:
            await refuse()


class Budget:
    """
    The seconds that one request has left.

    Like `asyncio.timeout`, but a restart only notes the time, and the timer looks at it when it
    fires: one timer for a request, where rescheduling makes one for each part of its response.
    """

    __slots__ = (
        "begun",
        "cancelled",
        "loop",
        "refusal",
        "refuse",
        "seconds",
        "spent",
        "started",
        "task",
        "threads",
        "timer",
    )

    def __init__(
        self,
        seconds: float,
        threads: CapacityLimiter | None,
        refuse: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Start counting for the current task. `refuse` answers 504 in its place."""
        self.task = cast("asyncio.Task[object]", asyncio.current_task())
        self.loop = asyncio.get_running_loop()
        self.seconds = seconds
        self.threads = threads
        self.refuse = refuse
        self.refusal: asyncio.Task[None] | None = None
        self.begun = self.loop.time()
        self.started = False
        self.spent = False
        self.cancelled = False
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
        """End the request if its time is over, else look again when it will be."""
        left = self.begun + self.seconds - self.loop.time()
        if left > 0:
            self.timer = self.loop.call_later(left, self.look)
            return
        self.spent = True
        if self.is_in_thread() and not self.started:
            # A thread cannot be cancelled. Cancelling who waits for it would give its place in the
            # pool away while it still runs, and a hanging dependency would pile up threads. So the
            # client is refused now, and what may follow the thread is cancelled when it has ended.
            if self.refusal is None:
                self.refusal = self.loop.create_task(self.refuse())
            self.timer = self.loop.call_later(self.seconds, self.look)
        else:
            self.cancelled = True
            self.task.cancel()

    def is_in_thread(self) -> bool:
        """Tell whether the request waits for a `def` endpoint or dependency."""
        return self.threads is not None and self.task in self.threads.statistics().borrowers

    def takes_back_cancellation(self) -> bool:
        """Tell, of a cancellation, whether it was ours and ours alone; take it back then."""
        return self.cancelled and self.task.uncancel() == 0


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
