"""
The start of a rendered service in the tests of this tier: in production mode, on the real database, by its own command or another
server's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.locks import locked
from tests.support.processes import wait_until
from tests.support.project import CACHE, Project
from tests.support.service import Service
from tests.support.stack import Postgres
from tests.support.variants import Variant, named

#: What the fixture `in_production` is.
Environment = Callable[[Project], dict[str, str]]

#: The command of each server that must run the same tree. The first, empty, is the production command.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "production": (),
    # Forwarding headers are the application's business: a server that believes them too, believes more of them.
    "uvicorn": ("uvicorn", "app.main:app", "--workers", "2", "--port", "{port}", "--no-proxy-headers"),
    "asgi": ("gunicorn", "-k", "asgi", "app.main:app"),
    # Without a bound its stop waits for ever for a connection that is not closed.
    "granian": (
        *("python", "-m", "granian", "app.main:app", "--interface", "asgi"),
        *("--workers", "2", "--port", "{port}", "--workers-kill-timeout", "5"),
    ),
    "hypercorn": ("python", "-m", "hypercorn", "app.main:app", "--workers", "2", "--bind", "127.0.0.1:{port}"),
}

#: What a rendered service does not depend on, so it is laid beside its environment.
EXTRA_SERVERS = ("granian==2.8.7", "hypercorn==0.18.0")

#: Short phases of a stop, where the phases are not what is tested.
BRIEFLY = {"ACCEPT_SECONDS": "0.2", "LAME_DUCK_SECONDS": "0.3"}


@dataclass(frozen=True)
class Serving:
    """One way to serve one variant; its id is what `-k` matches."""

    variant: Variant
    server: str = "production"

    @property
    def id(self) -> str:
        return self.variant.id if self.server == "production" else f"{self.variant.id}-{self.server}"


@dataclass
class Served:
    """A running service and what the tests need to know of it."""

    service: Service
    serving: Serving
    facts: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.facts = self.serving.variant.facts

    @property
    def is_production_server(self) -> bool:
        return self.serving.server == "production"

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self.service.request(method, path, **options)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.service.get(path, **options)

    def access_line(self, request_id: str) -> dict[str, Any]:
        """The access line of a request; it is written just after the response, so it may have to be waited for."""
        return find_line(self.service.access_lines, request_id)


def find_line(lines: Callable[[], list[dict[str, Any]]], request_id: str) -> dict[str, Any]:
    """The one line with this request id, as soon as it is there."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found[:] = [line for line in lines() if line.get("request_id") == request_id]
        return bool(found)

    wait_until(is_there, seconds=60, what=f"a log line of request {request_id}")
    assert len(found) == 1, found
    return found[0]


def production(project: Project, postgres: Callable[[], Postgres], folder: Path) -> dict[str, str]:
    """
    The environment of production: with a database of the variant's kind, migrated as the README says.

    `postgres` is only called, and only started, where the variant needs it.
    """
    environment = {"APP_ENV": "production"}
    if project.facts["has_postgresql"]:
        environment["DATABASE_URL"] = postgres().create_database()
    elif project.facts["has_sqlite"]:
        folder.mkdir(parents=True, exist_ok=True)
        environment["DATABASE_URL"] = f"sqlite:///{folder / 'service.db'}"
    if project.facts["has_database"]:
        project.run("make", "migrate", env=environment)
    return environment


def extra_servers(project: Project) -> Path:
    """A directory for PYTHONPATH that holds the servers the service does not depend on."""
    folder = CACHE / "servers" / project.fingerprint
    with locked(folder.with_suffix(".guard")):
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            python = str(project.bin / "python")
            project.run("uv", "pip", "install", "--python", python, "--target", str(folder), *EXTRA_SERVERS)
            (folder / ".complete").touch()
    return folder


def started(service: Service, *, times: int | None = None) -> None:
    """
    Wait until all workers have started, by what they log.

    Where two generations share a socket, an answer does not tell which of them gave it. This works for every worker class.
    """
    goal = times or service.workers

    def all_started() -> bool:
        if service.returncode is not None:
            pytest.fail(service.failure(f"ended with {service.returncode} while starting"), pytrace=False)
        return service.stderr().count("Application startup complete") >= goal

    wait_until(all_started, seconds=60, what=f"{goal} workers started")


def each(chosen: Callable[[], Iterable[Variant]]) -> pytest.MarkDecorator:
    """
    Run a test once per variant: `@each(three)`. Unlike `variants`, without keeping a variant on one worker: these tests are
    long, and share nothing but what is on disk.
    """
    return pytest.mark.parametrize("variant", [pytest.param(variant, id=variant.id) for variant in chosen()])


def default_and_maximal() -> list[Variant]:
    return [named("default"), named("maximal")]
