"""The answers of `/ready` while the process drains."""

import asyncio
import json
from typing import Any

import pytest

from serving.readiness import DrainingReadiness, Message, Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 200 to everything."""
    await send({"type": "http.response.start", "status": 200, "headers": []})


def answer(path: str, *, method: str = "GET", draining: bool = True, **environ: str) -> list[Any]:
    """Return the messages that are sent for a request."""
    readiness = DrainingReadiness(application, environ)
    readiness.draining = draining
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {}

    async def call() -> None:
        await readiness({"type": "http", "path": path, "method": method}, receive, send)

    asyncio.run(call())
    return sent


def test_ready_says_draining() -> None:
    """The body is the one of the HTTP contract."""
    start, body = answer("/ready")
    headers = dict(start["headers"])
    assert start["status"] == 503
    assert json.loads(body["body"]) == {"status": "draining", "checks": {}}
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"retry-after"] == b"1"
    assert int(headers[b"content-length"]) == len(body["body"])


@pytest.mark.parametrize("prefix", ["/shop", "/shop/"])
def test_ready_is_found_behind_a_prefix(prefix: str) -> None:
    """A proxy may leave the prefix on the path or take it off."""
    assert answer("/shop/ready", ROOT_PATH=prefix)[0]["status"] == 503
    assert answer("/ready", ROOT_PATH=prefix)[0]["status"] == 503


def test_everything_else_reaches_the_application() -> None:
    """Other paths, other methods, and `/ready` itself before the drain."""
    assert answer("/health")[0]["status"] == 200
    assert answer("/ready", method="POST")[0]["status"] == 200
    assert answer("/ready", draining=False)[0]["status"] == 200
