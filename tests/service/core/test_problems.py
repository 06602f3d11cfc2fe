"""Every error is a problem, and carries the request id."""

import json

import pytest
from fastapi import APIRouter, HTTPException
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from app.core.http_settings import HttpSettings
from app.core.problems import Conflict, Unavailable
from tests.core.harness import build, client_of


def routes(router: APIRouter) -> None:
    """Fail in every way."""

    @router.get("/conflict")
    async def conflict() -> None:
        raise Conflict("It is taken.")

    @router.post("/conflict")
    async def create() -> None:
        raise AssertionError

    @router.get("/unavailable")
    async def unavailable() -> None:
        raise Unavailable("Try later.", retry_after=7)

    @router.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout")

    @router.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret")

    @router.get("/plain")
    async def plain() -> PlainTextResponse:
        return PlainTextResponse("no", 403, headers={"X-Kept": "1"})

    @router.post("/sum/{number}")
    async def add(number: int, body: dict[str, int]) -> int:
        return number + sum(body.values())


def ask(method: str, path: str, **options: object) -> tuple[int, dict[str, object], dict[str, str]]:
    """Return status, problem and headers of the answer, having checked what all problems have."""
    service = build(routes=routes, http=HttpSettings(body_limit_bytes=100))
    with client_of(service) as client:
        response = client.request(method, path, **options)  # type: ignore[arg-type]
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == response.status_code
    assert problem["instance"] == path
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["detail"]
    assert problem["title"]
    return response.status_code, problem, dict(response.headers)


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("PUT", "/conflict", 405, "method-not-allowed"),
        ("GET", "/conflict", 409, "conflict"),
        ("GET", "/teapot", 418, "i-m-a-teapot"),
        ("GET", "/bug", 500, "internal-error"),
        ("GET", "/unavailable", 503, "unavailable"),
        ("GET", "/plain", 403, "forbidden"),
    ],
)
def test_an_error_is_a_problem(method: str, path: str, status: int, kind: str) -> None:
    """Raised by the framework, by the application or by a bug: one shape."""
    found, problem, _ = ask(method, path)
    assert (found, problem["type"]) == (status, f"urn:problem-type:{kind}")


def test_headers_of_an_error_are_kept() -> None:
    """`Allow` and `Retry-After` are part of the answer."""
    assert ask("PUT", "/conflict")[2]["allow"] == "GET, POST"
    assert ask("GET", "/unavailable")[2]["retry-after"] == "7"
    assert ask("GET", "/plain")[2]["x-kept"] == "1"


def test_a_bug_tells_the_client_nothing() -> None:
    """The details are in the log."""
    assert "secret" not in json.dumps(ask("GET", "/bug")[1])


def test_a_validation_error_points_and_does_not_echo() -> None:
    """A client finds the member; a log of responses holds no passwords."""
    _, problem, _ = ask("POST", "/sum/x", json={"a/b": "hunter2"})
    assert problem["type"] == "urn:problem-type:validation"
    errors = problem["errors"]
    assert isinstance(errors, list)
    assert [error["pointer"] for error in errors] == ["/path/number", "/body/a~1b"]
    assert "hunter2" not in json.dumps(problem)


def test_a_malformed_body_is_a_bad_request() -> None:
    """There is nothing in it to validate."""
    headers = {"Content-Type": "application/json"}
    assert ask("POST", "/sum/1", content=b"{", headers=headers)[0] == 400


def test_a_body_over_the_limit_is_refused() -> None:
    """With and without a declared length."""
    headers = {"Content-Type": "application/json"}
    chunks = (b" " * 60 for _ in range(2))
    for content in (b" " * 101, chunks):
        status, problem, _ = ask("POST", "/sum/1", content=content, headers=headers)
        assert (status, problem["type"]) == (413, "urn:problem-type:content-too-large")


def test_a_wrong_host_is_a_problem_too() -> None:
    """The middleware that checks it would answer in plain text."""
    service = build(http=HttpSettings(allowed_hosts=("api.example.com",)))
    with TestClient(service) as client:
        response = client.get("/")
    assert response.status_code == 400
    assert response.json()["type"] == "urn:problem-type:bad-request"
    assert response.headers["x-request-id"]


def test_the_description_of_the_api_knows_problems(client: TestClient) -> None:
    """Every documented error has the body that it really has."""
    description = client.get("/openapi.json").json()
    schemas = description["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    assert schemas["ProblemBody"]["properties"].keys() >= {"type", "request_id"}
    for path in description["paths"].values():
        for operation in path.values():
            content = operation["responses"]["422"]["content"]["application/problem+json"]
            name = content["schema"]["$ref"].rpartition("/")[2]
            assert schemas[name]["properties"].keys() >= {"errors"}
