"""The HTTP contract by examples: what clients, the proxy and probes rely on."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from fastapi import APIRouter
from fastapi.testclient import TestClient

from app.core.config import EnvironmentSettings
from app.core.problems import Conflict
from app.settings import Settings
from tests.core.harness import build, client_of, dependency

ROOT = Path(__file__).parents[2]
# Below this line of .env.example are the variables that gunicorn.conf.py reads.
SERVER = "# Server"


def routes(router: APIRouter) -> None:
    """Add endpoints to go wrong."""

    @router.get("/conflict")
    async def conflict() -> None:
        raise Conflict("The name is taken.")

    @router.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret")

    @router.post("/sum/{number}")
    async def add(number: int, body: dict[str, int]) -> int:
        return number + sum(body.values())


async def refuse(state: Mapping[str, Any]) -> None:
    """Fail, as the check of a dependency that is down."""
    raise ConnectionRefusedError


def test_health(client: TestClient) -> None:
    """Liveness is 200 while the process answers, and is never cached."""
    response = client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["Cache-Control"] == "no-store"


def test_ready(client: TestClient) -> None:
    """Readiness is 200 when everything that the service needs is up."""
    response = client.get("/ready")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


def test_not_ready() -> None:
    """Readiness is 503 while a required dependency is down, and names it; liveness stays 200."""
    with client_of(build(dependency("queue", refuse))) as client:
        assert client.get("/health").status_code == 200
        response = client.get("/ready")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unready",
        "checks": {"queue": {"status": "down", "required": True, "reason": "refused"}},
    }


def test_an_error_is_a_problem(client: TestClient) -> None:
    """Every error has the members of RFC 9457, and the id of the request."""
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem.pop("detail")
    assert problem == {
        "type": "urn:problem-type:not-found",
        "title": "Not Found",
        "status": 404,
        "instance": "/nowhere",
        "request_id": response.headers["X-Request-ID"],
    }


def test_a_problem_that_is_raised() -> None:
    """An endpoint raises a Problem, and the client gets its status, type and detail."""
    with client_of(build(routes=routes)) as client:
        response = client.get("/conflict")
    assert response.status_code == 409
    assert response.json()["type"] == "urn:problem-type:conflict"
    assert response.json()["detail"] == "The name is taken."


def test_a_bug_is_no_answer() -> None:
    """An exception that nobody handles is a 500 without details. They are in the log."""
    with client_of(build(routes=routes)) as client:
        response = client.get("/bug")
    assert response.status_code == 500
    assert response.json()["type"] == "urn:problem-type:internal-error"
    assert "secret" not in response.text


def test_a_validation_error_points_to_the_member() -> None:
    """A 422 names what is wrong, and never repeats a value: it may be a password."""
    with client_of(build(routes=routes)) as client:
        response = client.post("/sum/x", json={"number": "hunter2"})
    assert response.status_code == 422
    assert response.json()["type"] == "urn:problem-type:validation"
    assert [error["pointer"] for error in response.json()["errors"]] == [
        "/path/number",
        "/body/number",
    ]
    assert "hunter2" not in response.text


def test_request_id(client: TestClient) -> None:
    """A well-formed id is kept from the request to the response; any other is replaced."""
    kept = client.get("/nowhere", headers={"X-Request-ID": "0123456789abcdef"})
    assert kept.headers["X-Request-ID"] == "0123456789abcdef"
    replaced = client.get("/nowhere", headers={"X-Request-ID": 'forged "line"'})
    assert re.fullmatch(r"[0-9a-f]{32}", replaced.headers["X-Request-ID"])


def test_settings_are_documented() -> None:
    """`.env.example` lists every variable that the settings read, and no other."""
    application = (ROOT / ".env.example").read_text(encoding="utf-8").split(SERVER)[0]
    documented = re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", application, re.MULTILINE)
    kinds = get_type_hints(Settings)
    read: set[str] = set()
    for field in fields(Settings):
        kind = kinds[field.name]
        assert issubclass(kind, EnvironmentSettings)
        read.update(kind.variables())
    assert sorted(documented) == sorted(read)
