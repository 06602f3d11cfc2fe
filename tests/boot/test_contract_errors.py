"""
docs/contract.md, "Errors" and "Request id": of every kind of application by its production command, and of the default by every other server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from tests.boot.serving import Served

MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}
GENERATED = re.compile(r"[0-9a-f]{32}")


def is_problem(answer: httpx2.Response, status: int, kind: str) -> dict[str, object]:
    """Assert that an answer is this problem, complete; return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert set(body) == MEMBERS | ({"errors"} if kind == "validation" else set())
    assert body["type"] == f"urn:problem-type:{kind}"
    assert body["status"] == status
    assert body["instance"] == answer.request.url.path
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    return body


def path_of_posts(served: Served) -> str:
    return "/api/v1/items" if served.facts["has_database"] else "/api/v1/quotes"


def test_an_unknown_path_is_a_problem(served: Served) -> None:
    """
    404 where no route is.
    """
    is_problem(served.get("/nowhere"), 404, "not-found")


def test_an_unknown_resource_is_a_problem(served: Served) -> None:
    """
    404 where a route is, but not what it was asked for.
    """
    if served.facts["has_database"]:
        answer = served.get("/api/v1/items/999999999")
    else:
        answer = served.request("POST", "/api/v1/quotes", json={"zone": "nowhere", "grams": 1})
    is_problem(answer, 404, "not-found")


def test_a_wrong_method_is_a_problem_that_says_what_is_allowed(served: Served) -> None:
    """
    405 with Allow.
    """
    answer = served.request("PUT", path_of_posts(served))
    is_problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]


def test_a_contradiction_is_a_problem(served: Served) -> None:
    """
    409: a name that exists; a parcel that nobody carries.
    """
    if served.facts["has_database"]:
        body: dict[str, object] = {"name": "there can be only one"}
        served.request("POST", "/api/v1/items", json=body)
    else:
        body = {"zone": "domestic", "grams": 1_000_000}
    is_problem(served.request("POST", path_of_posts(served), json=body), 409, "conflict")


def test_malformed_json_is_a_bad_request(served: Served) -> None:
    """
    400, not 422: it never became something a schema could be asked about.
    """
    answer = served.request(
        "POST", path_of_posts(served), content=b'{"name": ', headers={"content-type": "application/json"}
    )
    is_problem(answer, 400, "bad-request")


def test_a_body_that_does_not_match_names_the_places_and_never_the_values(served: Served) -> None:
    """
    422 with a JSON pointer per error; a rejected value may be a password and is not echoed.
    """
    secret = "hunter2-hunter2"
    answer = served.request("POST", path_of_posts(served), json={"unknown": secret})
    body = is_problem(answer, 422, "validation")
    errors = body["errors"]
    assert isinstance(errors, list)
    assert {"/body/unknown", "/body/name" if served.facts["has_database"] else "/body/zone"} <= {
        error["pointer"] for error in errors
    }
    assert all(set(error) == {"pointer", "detail", "type"} for error in errors)
    assert secret not in answer.text


def test_a_body_over_the_limit_is_refused(served: Served) -> None:
    """
    413 by the announced length.
    """
    body = b'{"name": "' + b"x" * served.facts["body_limit_bytes"] + b'"}'
    answer = httpx2.post(
        served.service.base_url + path_of_posts(served), content=body, headers={"content-type": "application/json"}
    )
    is_problem(answer, 413, "content-too-large")


def test_a_body_over_the_limit_is_refused_when_its_length_was_not_announced(served: Served) -> None:
    """
    413 in the middle of a chunked body.
    """

    def chunks() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(served.facts["body_limit_bytes"] // 65536 + 1):
            yield b"x" * 65536
        yield b'"}'

    answer = httpx2.post(
        served.service.base_url + path_of_posts(served), content=chunks(), headers={"content-type": "application/json"}
    )
    is_problem(answer, 413, "content-too-large")


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/items", "/api/v1/zones"])
def test_a_well_formed_request_id_is_kept(served: Served, path: str) -> None:
    """
    The client's id comes back on every response, whatever its status.
    """
    for given in ("a2345678", "A-request_id.0", "x" * 128):
        assert served.get(path, headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given",
    ["a234567", "x" * 129, "with blank inside", "slash/slash/slash", "<script>alert(1)</script>", "ünïcödé-id"],
    ids=["short", "long", "blank", "slash", "markup", "unicode"],
)
def test_any_other_request_id_is_replaced(served: Served, given: str) -> None:
    """
    Nothing that could forge a log line or a header gets in.
    """
    answer = served.get("/nowhere", headers={"X-Request-ID": given.encode()})
    assert GENERATED.fullmatch(answer.headers["x-request-id"])


def test_request_ids_differ(served: Served) -> None:
    """
    Generated ids are not repeated, also not by another worker.
    """
    answers = [httpx2.get(served.service.base_url + "/nowhere") for _ in range(10)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 10
