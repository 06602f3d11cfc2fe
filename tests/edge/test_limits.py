"""
Limits: of requests per client, of sizes, of patience. What is over them never reaches Python.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import time

import pytest

from tests.edge.conftest import Standing
from tests.edge.recorder import Recorder
from tests.edge.test_errors import is_problem
from tests.support.edges import edges
from tests.support.edges.client import Answer, Client, read
from tests.support.processes import wait_until

#: Clients of a slow loris.
MANY = 100


def burst(client: Client, path: str, number: int, headers: str = "") -> list[Answer]:
    """
    Requests as fast as one connection allows.
    """
    answers = []
    with client.kept() as connection:
        for _ in range(number):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {client.host}\r\n{headers}\r\n".encode())
            answers.append(read(connection))
    return answers


@edges("rate-limit", daily=True)
def test_a_burst_passes_and_a_flood_does_not(standing: Standing) -> None:
    """
    The burst is served at once; what is beyond is 429 with the time to wait.
    """
    facts = standing.edge.variant.facts
    client = standing.client()
    allowed = facts["edge_burst"]
    begun = time.monotonic()
    answers = burst(client, "/tell/echo", allowed + 60)
    refilled = (time.monotonic() - begun) * facts["edge_rate_per_second"]
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {200, 429}
    assert statuses[:allowed] == [200] * allowed
    assert statuses.count(200) <= allowed + refilled + 2
    refused = next(answer for answer in answers if answer.status == 429)
    is_problem(refused, 429, "too-many-requests", "/tell/echo")
    assert refused.header("retry-after") == "1"


@edges("rate-limit")
def test_two_clients_have_two_buckets(standing: Standing) -> None:
    """
    One that floods does not use up what the other may; nor does one that claims to be many.
    """
    flooding, quiet = standing.client(), standing.client()
    number = 2 * standing.edge.variant.facts["edge_burst"]
    burst(flooding, "/tell/echo", number)
    refused = burst(flooding, "/tell/echo", number, "X-Forwarded-For: 9.9.9.9\r\n")
    assert [answer.status for answer in refused].count(429) > number / 2
    assert {answer.status for answer in burst(quiet, "/tell/echo", number // 2)} == {200}


@edges("rate-limit")
def test_clients_behind_a_trusted_edge_have_buckets_of_their_own(standing: Standing) -> None:
    """
    A CDN is not one client.
    """
    cdn = standing.client(source="127.99.0.3")
    number = 3 * standing.edge.variant.facts["edge_burst"]
    assert 429 in {answer.status for answer in burst(cdn, "/tell/echo", number, "X-Forwarded-For: 203.0.113.50\r\n")}
    assert cdn.get("/tell/echo", headers={"X-Forwarded-For": "203.0.113.51"}).status == 200


@edges()
def test_probes_are_never_limited(standing: Standing) -> None:
    """
    A load balancer may ask as often as it wants.
    """
    for path in ("/health", "/ready"):
        number = standing.edge.variant.facts["edge_burst"] + 100
        assert {answer.status for answer in burst(standing.client(), path, number)} == {200}


@edges()
@pytest.mark.parametrize("path", ["//health", "/nowhere/../ready", "/nowhere%2f..%2fready"])
def test_nothing_else_passes_for_a_probe(standing: Standing, path: str) -> None:
    """
    The probe itself is not limited; every other request counts.
    """
    number = standing.edge.variant.facts["edge_burst"] + 100
    statuses = {answer.status for answer in burst(standing.client(), path, number)}
    assert 429 in statuses or statuses <= {200, 400}


@edges("header-limit", fixture="bare")
def test_large_headers_never_reach_the_service(bare: Standing) -> None:
    """
    One of 5 MB, and many that are large together.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder:
        for headers in (
            [("X-Large", "x" * 5_000_000)],
            [(f"X-Filler-{number}", "x" * 4000) for number in range(20)],
        ):
            with contextlib.suppress(OSError):
                assert bare.client().get("/large", headers=headers).status in (400, 414, 431)
        assert recorder.requests == []
        assert bare.client().get("/small", headers={"X-Large": "x" * 4000}).status == 200
        assert len(recorder.requests) == 1


@pytest.mark.nightly
@edges()
def test_a_hundred_slow_clients_delay_nobody(standing: Standing) -> None:
    """
    A slow loris: half a header each, and a byte now and then. Others are served as always.
    """

    def usual() -> float:
        """The median of a few requests, each of another client."""
        times = []
        for _ in range(21):
            begun = time.monotonic()
            assert standing.client().get("/tell/echo").status == 200
            times.append(time.monotonic() - begun)
        return statistics.median(times)

    alone = usual()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(standing.client().kept()) for _ in range(MANY)]
        for connection in slow:
            connection.sendall(b"GET /tell/echo HTTP/1.1\r\nHost: api.test\r\nX-Slow: ")
        assert usual() < 2 * alone + 0.1
        for connection in slow:
            connection.sendall(b"x")
        assert usual() < 2 * alone + 0.1


@edges("header-timeout")
def test_a_header_that_does_not_end_is_not_waited_for(standing: Standing) -> None:
    """
    Also one that goes on growing: the time is for all of it.
    """
    with standing.client().kept() as connection:
        connection.sendall(b"GET /tell/echo HTTP/1.1\r\nHost: api.test\r\nX-Slow: ")
        begun = time.monotonic()
        connection.settimeout(1)
        while time.monotonic() - begun < 90:
            with contextlib.suppress(TimeoutError):
                try:
                    connection.sendall(b"x")
                    if not connection.recv(1000).startswith(b"HTTP/1.1 200"):
                        break
                except ConnectionError:
                    break
        assert time.monotonic() - begun < 60


@edges("slow-body", fixture="bare")
def test_a_body_that_trickles_reaches_the_service_whole(bare: Standing) -> None:
    """
    Nothing is passed on before the last byte has come: slow clients cost the service nothing.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder, bare.client().kept() as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\n")
        for _ in range(9):
            connection.sendall(b"x")
            time.sleep(0.05)
        assert recorder.connections == 0
        connection.sendall(b"x")
        assert read(connection).status == 200
        assert recorder.requests[0].endswith(b"\r\n\r\nxxxxxxxxxx")


@edges("slow-body", fixture="bare")
def test_a_client_that_leaves_in_its_body_was_never_there(bare: Standing) -> None:
    """
    Half a POST is no POST.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder:
        with bare.client().kept() as connection:
            connection.sendall(b"POST /half HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\nxxxxx")
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        assert bare.client().get("/after").status == 200
        wait_until(lambda: len(recorder.requests) == 1, seconds=60, what="one request arrived")
        assert b"/after" in recorder.heads[0]
