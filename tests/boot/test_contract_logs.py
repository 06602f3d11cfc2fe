"""
docs/contract.md, "Logs" and "Client address": of every kind of application by its production command, and of the default by every other server.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.boot.serving import Served

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LEVELS = {"debug", "info", "warning", "error", "critical"}
KEYS = {
    "timestamp", "level", "logger", "event", "request_id", "method", "path", "route", "status", "duration_ms", "client",
}  # fmt: skip


def test_every_request_has_one_access_line_with_all_keys(served: Served) -> None:
    """
    Standard output holds a line of JSON per request: the route's template, no query, a duration, the client.
    """
    with_database = served.facts["has_database"]
    path, route = ("/api/v1/items/999999999", "/api/v1/items/{item_id}") if with_database else ("/api/v1/zones",) * 2
    status = served.get(f"{path}?secret=1", headers={"X-Request-ID": "one-line-per-request"}).status_code
    line = served.access_line("one-line-per-request")
    assert set(line) == KEYS
    assert TIMESTAMP.fullmatch(line["timestamp"])
    assert (line["level"], line["logger"], line["event"]) == ("info", "access", "request")
    assert (line["method"], line["path"], line["route"]) == ("GET", path, route)
    assert (line["status"], line["client"]) == (status, "127.0.0.1")
    assert isinstance(line["duration_ms"], float)
    assert 0 <= line["duration_ms"] < 30_000


def test_a_request_without_a_route_is_logged_too(served: Served) -> None:
    """
    `route` is null where none matched.
    """
    served.get("/nowhere", headers={"X-Request-ID": "no-route-matched"})
    line = served.access_line("no-route-matched")
    assert (line["route"], line["status"], line["path"]) == (None, 404, "/nowhere")


def test_standard_output_holds_access_lines_only(served: Served) -> None:
    """
    One stream, one shape: whatever reads it needs no filter, and the server does not write an access log of its own.
    """
    served.get("/only-access-lines", headers={"X-Request-ID": "only-access-lines"})
    served.access_line("only-access-lines")
    assert served.service.logs().count("/only-access-lines") == 1
    for line in served.service.stdout().splitlines():
        if served.is_production_server or line.startswith("{"):  # another server may say there that it starts
            assert set(json.loads(line)) >= KEYS, line


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 127.0.0.1", "203.0.113.7"),
        ("6.6.6.6, not an address", "127.0.0.1"),
        ("2001:db8::7", "2001:db8::7"),
    ],
    ids=["one", "spoofed", "through-trusted", "malformed", "ipv6"],
)
def test_the_client_is_the_nearest_hop_that_is_not_trusted(served: Served, forwarded: str, client: str) -> None:
    """
    A client that writes X-Forwarded-For itself cannot choose its own address: the proxy's entry, right of it, counts.
    """
    request_id = "forwarded-" + re.sub(r"[^0-9a-z]", "-", forwarded)
    served.get("/nowhere", headers={"X-Request-ID": request_id, "X-Forwarded-For": forwarded})
    assert served.access_line(request_id)["client"] == client


def test_standard_error_is_json_too(served: Served) -> None:
    """
    The server's own lines have the keys of every other line; nothing is printed past the log.
    """
    if not served.is_production_server:
        return  # what another server prints before it loads the application is its own
    lines = served.service.stderr().splitlines()
    assert lines
    for line in lines:
        record = json.loads(line)
        assert {"timestamp", "level", "logger", "event"} <= set(record), line
        assert TIMESTAMP.fullmatch(record["timestamp"]), line
        assert record["level"] in LEVELS, line
