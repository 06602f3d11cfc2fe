"""A tiny ASGI application that the tests of `serving/` boot; it needs nothing but Python."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

PROBE = os.environ.get("PROBE", "")


class OperatorError(Exception):
    """An error with words for the operator, who sees no traceback."""

    operator_message = "THE_VARIABLE is missing"


if PROBE == "broken":
    raise RuntimeError("broken on purpose")
if PROBE == "misconfigured":
    raise OperatorError
if PROBE == "unknown-uvicorn":
    import uvicorn

    uvicorn.__version__ = "0.99.0"
if os.path.exists(os.environ.get("PROBE_BREAK_FILE", "")):
    raise RuntimeError("broken later")


def say(event: str) -> None:
    """Write a line the tests look for."""
    print(f"probe: {event} {os.getpid()}", file=sys.stderr, flush=True)


def block(seconds: float) -> None:
    """Block the event loop: what no service should do."""
    time.sleep(seconds)


def pass_gate(gate: Path) -> None:
    """Let the first process pass, and all others once the file exists."""
    try:
        gate.with_suffix(".first").touch(exist_ok=False)
    except FileExistsError:
        while not gate.exists():
            time.sleep(0.02)


async def app(scope: MutableMapping[str, Any], receive: Any, send: Send) -> None:
    """
    Serve `/slow`, `/stream`, `/block`, `/workers`, and 200 with the process id for anything else.
    """
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    seconds = float(parse_qs(scope["query_string"].decode()).get("seconds", ["0"])[0])
    if scope["path"] == "/slow":
        say("began")
        await asyncio.sleep(seconds)
    elif scope["path"] == "/block":
        block(seconds)
    elif scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0.1)
    elif scope["path"] == "/ready" and "PROBE_READY" in os.environ:
        status, body = readiness(Path(os.environ["PROBE_READY"]))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})
        return
    said = os.environ.get("WEB_CONCURRENCY") if scope["path"] == "/workers" else os.getpid()
    body = str(said).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def readiness(answer: Path) -> tuple[int, bytes]:
    """Return 503 and what the file says, or 200 when it is absent."""
    say("asked")
    return (503, answer.read_bytes()) if answer.exists() else (200, b"")


async def lifespan(receive: Any, send: Send) -> None:
    """Start when it is time, never when told to fail; hang at the end when told to."""
    await receive()
    if PROBE == "fails":
        await send({"type": "lifespan.startup.failed", "message": "fails on purpose"})
        return
    await asyncio.sleep(float(os.environ.get("PROBE_START_SECONDS", "0")))
    if "PROBE_GATE" in os.environ:
        pass_gate(Path(os.environ["PROBE_GATE"]))
    say("started")
    await send({"type": "lifespan.startup.complete"})
    if PROBE == "stopped as it starts":
        os.kill(os.getpid(), signal.SIGTERM)
    if PROBE == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    await receive()
    if PROBE == "hangs":
        say("hangs")
        await asyncio.sleep(3600)
    if PROBE == "blocks":
        block(3600)
    say("shut down")
    await send({"type": "lifespan.shutdown.complete"})
