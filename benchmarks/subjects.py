"""
The applications that are compared.

Every one answers the same small JSON at `PING`, from the same few lines with a declared return type. They differ in what
stands around it.
"""

import shutil
from pathlib import Path

PING = "/api/v1/ping"

BARE = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/api/v1/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
"""
"""What everybody begins with. It logs nothing."""

ROUTER = '''
"""The same endpoint as a feature of a rendered service."""

from fastapi import APIRouter

from app.core.feature import Feature

router = APIRouter(prefix="/api/v1/ping")


@router.get("")
async def ping() -> dict[str, str]:
    return {"message": "pong"}


def pings() -> Feature:
    return Feature(name="pings", router=router)
'''

STOCK = ("--worker-class", "uvicorn_worker.UvicornWorker", "--no-control-socket", "--log-level", "warning")
"""The server of the bare application: the same gunicorn, uvicorn, event loop and parser, without our worker and logging."""


def bare(folder: Path) -> Path:
    """Write the bare application into an empty folder."""
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "__init__.py").touch()
    (folder / "app" / "main.py").write_text(BARE)
    return folder


def bare_on_ours(folder: Path, rendered: Path) -> Path:
    """The bare application under the rendered `serving/`, to tell the server's part from the application's."""
    bare(folder)
    shutil.copytree(rendered / "serving", folder / "serving")
    shutil.copy(rendered / "gunicorn.conf.py", folder)
    return folder
