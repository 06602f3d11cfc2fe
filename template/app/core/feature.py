"""A feature: a router with a lifespan, and how to ask whether it works."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

# Gets the state that the lifespans yielded. Returning means up, raising means down.
Check = Callable[[Mapping[str, Any]], Awaitable[object]]
ExceptionHandler = Callable[[Request, Any], Awaitable[Response]]


@dataclass(frozen=True)
class Feature:
    """
    An entry of the list in `app/main.py`.

    `name` is the name of the check in `/ready` and in `READY_REQUIRES`; `required` says whether
    readiness depends on it when `READY_REQUIRES` does not say otherwise. `middleware` is pure
    ASGI and sees every request but probes, under the deadline; `statuses` are the errors it adds.
    """

    name: str
    router: APIRouter = field(default_factory=APIRouter)
    check: Check | None = None
    required: bool = False
    exception_handlers: Mapping[type[Exception], ExceptionHandler] = field(default_factory=dict)
    middleware: Callable[[ASGIApp], ASGIApp] | None = None
    statuses: Sequence[int] = ()
