"""The request context, where no test client can look: clients that leave, answers in parts."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter
from starlette.responses import StreamingResponse

from app.core.logs import LogSettings
from app.core.middleware import request_context
from app.core.service import Service
from tests.core.harness import build


def routes(router: APIRouter) -> None:
    """Answer slowly, and fail in parts."""

    @router.get("/quick")
    async def quick() -> str:
        return "done"

    @router.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.02)
        return "done"

    @router.get("/parts")
    async def parts() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            yield b"no, "
            yield b"really not"

        return StreamingResponse(lines(), status_code=403, media_type="text/plain")


async def ask(service: Service, path: str, *, leave_after: float = 5) -> list[dict[str, Any]]:
    """Send a request as a server does, leave after some seconds, return what was answered."""
    sent: list[dict[str, Any]] = []
    body_read = False
    left = asyncio.Event()
    leaving = asyncio.get_running_loop().call_later(leave_after, left.set)

    async def receive() -> dict[str, Any]:
        nonlocal body_read
        if left.is_set() or body_read:
            await left.wait()
            return {"type": "http.disconnect"}
        body_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "GET"}
    scope |= {"path": path, "query_string": b"", "headers": []}
    scope |= {"client": ("192.0.2.1", 1), "state": {}}
    await asyncio.create_task(service(scope, receive, send))
    leaving.cancel()
    await asyncio.sleep(0)
    return sent


@pytest.mark.parametrize(("leave_after", "status"), [(0.005, 499), (5, 200)])
def test_a_client_that_left_is_logged_as_such(
    leave_after: float,
    status: int,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Although the endpoint never noticed, and answered 200."""
    monkeypatch.setattr(request_context, "NOTICEABLE_SECONDS", 0.01)
    service = build(routes=routes, logs=LogSettings(log_format="json"))
    asyncio.run(ask(service, "/slow", leave_after=leave_after))
    [line] = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert line["status"] == status


def test_an_error_that_comes_in_parts_stays_as_it_is() -> None:
    """Only what is complete can be turned into a problem; the id is there all the same."""
    start, *parts = asyncio.run(ask(build(routes=routes), "/parts"))
    assert start["status"] == 403
    assert b"x-request-id" in dict(start["headers"])
    assert b"".join(part.get("body", b"") for part in parts) == b"no, really not"


def test_a_request_leaves_nothing_to_the_garbage_collector() -> None:
    """A cycle per request costs a quarter of the service's capacity, and pauses in between."""
    service = build(routes=routes)

    async def count_garbage() -> int:
        await ask(service, "/quick")
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await ask(service, "/quick")
            return gc.collect()
        finally:
            gc.enable()

    assert asyncio.run(count_garbage()) < 10
