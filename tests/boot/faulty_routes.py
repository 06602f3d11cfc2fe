"""
Routes that a rendered service lacks: slow, streaming, hanging, failing. A test adds them to a copy of it.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.project import Project

ROUTER = '''
"""Routes that misbehave."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse

from app.core.feature import Feature


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Let one worker create the file that is named, if any, and start, and the others when there is another one."""
    if flag := os.environ.get("FIRST_WORKER_FLAG"):
        try:
            Path(flag).touch(exist_ok=False)
        except FileExistsError:
            while not Path(f"{flag}.others").exists():
                await asyncio.sleep(0.05)
    yield


router = APIRouter(prefix="/faulty", lifespan=lifespan)


@router.get("/slow")
async def slow(seconds: float) -> dict[str, int]:
    """Wait politely."""
    print('{"event": "slow began"}', file=sys.stderr, flush=True)
    await asyncio.sleep(seconds)
    return {"pid": os.getpid()}


@router.get("/stream")
async def stream() -> StreamingResponse:
    """Never end."""

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"data: still here\\n\\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(parts(), media_type="text/event-stream")


@router.get("/block")
async def block(seconds: float) -> None:
    """Stop the event loop."""
    time.sleep(seconds)


@router.get("/boom")
async def boom() -> None:
    """Fail."""
    raise LookupError("the secret cause")


def faulty_routes() -> Feature:
    """Offer them."""
    return Feature(name="faulty_routes", router=router)
'''


def with_faulty_routes(project: Project, destination: Path) -> Project:
    """
    A copy of a project with the routes above under /faulty, added the way a developer adds a feature.
    """
    copy = project.copy(destination)
    (copy / "app" / "faulty_routes.py").write_text(ROUTER.lstrip())
    root = copy / "app" / "main.py"
    lines = root.read_text().splitlines(keepends=True)
    imports = lines.index("from app.core.service import Service\n")
    lines.insert(imports + 1, "from app.faulty_routes import faulty_routes\n")
    features = lines.index("    return [\n")
    lines.insert(features + 1, "        faulty_routes(),\n")
    root.write_text("".join(lines))
    return copy
