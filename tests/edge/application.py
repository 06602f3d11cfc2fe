"""
The service behind the proxy: a rendered project with routes that tell what arrived, by its production server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support import failure, processes
from tests.support.project import Project
from tests.support.sandbox import Sandbox

ROUTER = '''
"""Routes that tell what arrived."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.responses import StreamingResponse

from app.core.feature import Feature
from app.core.problems import Problem

router = APIRouter(prefix="/tell")


@router.api_route("/echo", methods=["GET", "POST"])
async def echo(request: Request) -> dict[str, Any]:
    """The request as the application sees it."""
    return {
        "client": request.client.host if request.client else None,
        "url": str(request.url),
        "headers": [[name, value] for name, value in request.headers.items()],
        "size": len(await request.body()),
    }


@router.get("/slow")
async def slow(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


@router.get("/large")
async def large(size: int) -> Response:
    """Send much, that packs well."""
    return Response(b"a line that repeats itself\\n" * (size // 27), media_type="text/plain")


@router.api_route("/events", methods=["GET", "POST"])
async def events() -> StreamingResponse:
    """Send an event now and one in three seconds."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"data: first\\n\\n"
        await asyncio.sleep(3)
        yield b"data: last\\n\\n"

    return StreamingResponse(parts(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get("/problem/{status}")
async def problem(status: int) -> None:
    """Fail as told."""
    raise Problem("The application says so.", status=status, headers={"Retry-After": "7"})


@router.get("/framed")
async def framed(response: Response) -> None:
    """Have a mind of its own."""
    response.headers["X-Frame-Options"] = "SAMEORIGIN"


@router.websocket("/socket")
async def websocket(socket: WebSocket) -> None:
    """Echo."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


def tell() -> Feature:
    """Offer them."""
    return Feature(name="tell", router=router)
'''

# See tests/support/service.py: the receiver names its own pid in LISTEN_PID. It ends with the tests, whatever ends them.
_PASS = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def telling(project: Project, destination: Path) -> Project:
    """
    A copy of a project with the routes above, added the way a developer adds a feature.
    """
    copy = project.copy(destination)
    (copy / "app" / "tell.py").write_text(ROUTER.lstrip())
    root = copy / "app" / "main.py"
    text = root.read_text()
    text = text.replace("from app.settings import", "from app.tell import tell\nfrom app.settings import", 1)
    root.write_text(text.replace("    return [\n", "    return [\n        tell(),\n", 1))
    return copy


@contextlib.contextmanager
def serving(
    project: Project, sandbox: Sandbox, address: str | int, env: dict[str, str] | None = None
) -> Iterator[None]:
    """
    Run the service on a socket in a sandbox, as systemd would: it inherits the socket, and keeps it when it ends.
    """
    __tracebackhide__ = True
    with contextlib.ExitStack() as closing:
        listener = closing.enter_context(sandbox.listen(address))
        log = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="service-"))) / "log"
        environ = project.environ(
            {"APP_ENV": "production", "WEB_CONCURRENCY": "1", "LAME_DUCK_SECONDS": "1", **(env or {})}
        )
        with log.open("wb") as output, sandbox.inside():
            process = subprocess.Popen(
                [sys.executable, "-c", _PASS, str(listener.fileno()), str(project.bin / "gunicorn"), "app.main:app"],
                cwd=project.path,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[listener.fileno()],
            )
        closing.callback(process.wait, 10)
        closing.callback(processes.kill_group, process.pid)

        def ready() -> bool:
            if process.poll() is not None:
                raise AssertionError(failure.frame(log.read_text(), title=f"the service ended: {process.returncode}"))
            return b" 200 " in _ask(sandbox, address)

        processes.wait_until(ready, seconds=60, what="the service is ready")
        try:
            yield
        except BaseException as error:
            error.add_note(failure.frame(log.read_text(), title="the service, when this failed"))
            raise


def _ask(sandbox: Sandbox, address: str | int) -> bytes:
    with sandbox.inside(), socket.socket(socket.AF_INET if isinstance(address, int) else socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(("127.0.0.1", address) if isinstance(address, int) else os.fspath(sandbox.path(address)))
        peer.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return peer.recv(100)
