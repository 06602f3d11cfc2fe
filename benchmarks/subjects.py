"""
The applications that are compared.

Every one answers the same small JSON at `PING`, from the same few lines with a declared return type. They differ in what
stands around it.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.project import Project

PING = "/api/v1/ping"

BARE = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/api/v1/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
"""
"""The server that everybody begins with. It logs nothing."""

ROUTER = '''
"""The same endpoint, as a feature of a rendered service."""

from fastapi import APIRouter

from app.core.feature import Feature

router = APIRouter(prefix="/api/v1/ping")


@router.get("")
async def ping() -> dict[str, str]:
    return {"message": "pong"}


def pings() -> Feature:
    return Feature(name="pings", router=router)
'''

STOCK = (
    *("--worker-class", "uvicorn_worker.UvicornWorker"),
    *("--no-control-socket", "--log-level", "warning"),
)
"""The server of the bare application: the same gunicorn, uvicorn, event loop and parser, with the stock worker."""


@dataclass(frozen=True)
class Subject:
    """
    An application, and how it is served.

    `arguments` go to `gunicorn`, which is run from `folder` by `python`, the interpreter of the environment they share.
    """

    name: str
    folder: Path
    python: Path
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def bare(folder: Path, python: Path) -> Subject:
    """The bare application."""
    return Subject("bare", _bare(folder), python, STOCK)


def bare_on_ours(folder: Path, python: Path, project: Project) -> Subject:
    """The bare application under the rendered `serving/`: tells the server's part from the application's."""
    _bare(folder)
    shutil.copytree(project / "serving", folder / "serving")
    shutil.copy(project / "gunicorn.conf.py", folder)
    return Subject("bare, our worker", folder, python)


def rendered(folder: Path, python: Path, project: Project) -> Subject:
    """A rendered service in production mode, with the endpoint added the way a developer adds a feature."""
    copy = project.copy(folder)
    (copy / "app" / "pings.py").write_text(ROUTER.lstrip())
    root = copy / "app" / "main.py"
    text = root.read_text()
    last = "from app.core.service import Service\n"
    text = _replace(text, last, f"{last}from app.pings import pings\n")
    text = _replace(text, "    return [\n", "    return [\n        pings(),\n")
    root.write_text(text)
    environment = {"APP_ENV": "production"}
    if project.facts["has_database"]:
        # Nothing that is measured talks to it; the pool connects when it is first used.
        environment["DATABASE_URL"] = "postgresql://bench@127.0.0.1:1/bench"
    return Subject(project.variant.id, copy.path, python, environment=tuple(environment.items()))


def _bare(folder: Path) -> Path:
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "__init__.py").touch()
    (folder / "app" / "main.py").write_text(BARE)
    return folder


def _replace(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"expected once: {old!r}")
    return text.replace(old, new)
