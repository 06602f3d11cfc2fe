"""
Errors that a proxy makes itself look like those of the application; the application's own pass untouched.
"""

from __future__ import annotations

import re

import pytest

from tests.edge.conftest import Standing
from tests.edge.recorder import Recorder
from tests.support.edges import edges
from tests.support.edges.client import Answer

MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}


def is_problem(answer: Answer, status: int, kind: str, path: str) -> None:
    """
    Assert that an answer is this problem, with all members of the contract.
    """
    assert answer.status == status, answer.body
    assert answer.header("content-type") == "application/problem+json"
    body = answer.json()
    assert set(body) == MEMBERS
    assert body["type"] == f"urn:problem-type:{kind}"
    assert body["status"] == status
    assert body["instance"] == path
    assert body["request_id"] == answer.header("x-request-id")
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,128}", body["request_id"])
    assert body["title"]
    assert body["detail"]


@edges("problem-413", daily=True)
def test_a_body_over_the_limit_is_a_problem(standing: Standing) -> None:
    """
    413 by the announced length, before a byte of it was passed on.
    """
    limit = standing.edge.variant.facts["body_limit_bytes"]
    answer = standing.client().post("/tell/echo", body=b"x" * (limit + 1))
    is_problem(answer, 413, "content-too-large", "/tell/echo")


@edges("problem-413")
def test_a_body_over_the_limit_is_a_problem_when_its_length_was_not_announced(standing: Standing) -> None:
    """
    413 in the middle of a chunked body.
    """
    limit = standing.edge.variant.facts["body_limit_bytes"]
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = b"POST /tell/echo HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = standing.client().raw(head + chunk * (limit // 0x10000 + 1) + b"0\r\n\r\n")
    is_problem(answer, 413, "content-too-large", "/tell/echo")


@edges()
def test_a_body_at_the_limit_passes(standing: Standing) -> None:
    """
    The proxy's limit is the application's, to the byte.
    """
    limit = standing.edge.variant.facts["body_limit_bytes"]
    answer = standing.client().post("/tell/echo", body=b"x" * limit)
    assert answer.json()["size"] == limit


@edges("problem-414")
def test_a_long_address_is_a_problem(standing: Standing) -> None:
    """
    414, or 431 where the proxy counts the line among the headers. It may have given up before it knew the path.
    """
    answer = standing.client().get("/tell/echo?" + "x" * 40_000)
    kinds = {414: "uri-too-long", 431: "request-header-fields-too-large"}
    path = answer.json()["instance"]
    assert path in ("/tell/echo", "/")
    is_problem(answer, answer.status, kinds[answer.status], path)


@edges("problem-431")
def test_large_headers_are_a_problem(standing: Standing) -> None:
    """
    431 at 40 KiB, in lines that are each small enough.
    """
    answer = standing.client().get("/tell/echo", headers=[(f"X-Filler-{n}", "x" * 7000) for n in range(6)])
    is_problem(answer, 431, "request-header-fields-too-large", "/tell/echo")


@edges("problem-400")
def test_a_malformed_request_is_a_problem(standing: Standing) -> None:
    """
    400 for what no server could make sense of.
    """
    answer = standing.client().raw(
        b"GET /tell/echo HTTP/1.1\r\nHost: api.test\r\nContent-Length: x\r\nConnection: close\r\n\r\n"
    )
    assert answer.status == 400
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json()["type"] == "urn:problem-type:bad-request"


@edges("problem-502", fixture="bare", daily=True)
def test_nobody_there_is_a_problem(bare: Standing) -> None:
    """
    502 when no service listens. The path is told as it was sent, in JSON that stays JSON.
    """
    is_problem(bare.client().get("/a%22b%5C/c?d=e"), 502, "bad-gateway", "/a%22b%5C/c")
    answer = bare.client().raw(b'GET /"quoted\\ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n')
    assert set(answer.json()) == MEMBERS


@edges("problem-504", fixture="bare")
def test_silence_is_a_problem(bare: Standing) -> None:
    """
    504 when a service says nothing for longer than its own deadline.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder:
        recorder.silent = True
        is_problem(bare.client().get("/silence"), 504, "deadline-exceeded", "/silence")
        assert len(recorder.requests) == 1, "a slow request is not sent again: it may still be at work"


@edges()
@pytest.mark.parametrize("status", [400, 404, 413, 500, 503, 504])
def test_the_applications_errors_pass(standing: Standing, status: int) -> None:
    """
    Every answer of the application arrives with its own words.
    """
    passes(standing, status)


@edges("application-429")
def test_the_applications_limit_passes(standing: Standing) -> None:
    """
    Also where the proxy has a limit of its own.
    """
    passes(standing, 429)


def passes(standing: Standing, status: int) -> None:
    answer = standing.client().get(f"/tell/problem/{status}", headers={"X-Request-ID": "follow-me-1"})
    assert answer.status == status
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json()["detail"] == "The application says so."
    assert answer.json()["request_id"] == answer.header("x-request-id") == "follow-me-1"
    assert answer.header("retry-after") == "7"
