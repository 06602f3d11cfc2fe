"""The rate limit as a feature."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TypedDict

from fastapi import APIRouter, FastAPI

from app.core.feature import Feature
from app.rate_limit.memory import open_memory
from app.rate_limit.middleware import RateLimitMiddleware
from app.rate_limit.settings import TABLE_NAME, RateLimitSettings
from app.rate_limit.table import Table


class State(TypedDict):
    """The part of `request.state` that the lifespan adds."""

    rate_limit: Table


def rate_limit(settings: RateLimitSettings) -> Feature:
    """Limit the requests of each client; with a rate of 0, do nothing."""
    if not settings.per_second:
        return Feature("rate_limit")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        yield {"rate_limit": Table(await asyncio.to_thread(open_memory, TABLE_NAME))}

    return Feature(
        name="rate_limit",
        router=APIRouter(lifespan=lifespan),
        middleware=partial(
            RateLimitMiddleware, per_second=settings.per_second, burst=settings.effective_burst
        ),
        statuses=(429,),
    )
