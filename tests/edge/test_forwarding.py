"""
The application hears about the client from the proxy, and from nobody else.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from tests.edge.conftest import Standing
from tests.support.edges import edges
from tests.support.edges.client import Client

#: What a client may try; the application must be told none of it.
SPOOFED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Port": "81",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;host=evil.test",
}


def told(client: Client, **headers: str) -> dict[str, Any]:
    """
    The request as the application got it.
    """
    answer = client.get("/tell/echo", headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json()
    return body


def values(told: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in told["headers"] if key == name.lower()]


@edges()
def test_the_application_learns_address_scheme_and_name(standing: Standing) -> None:
    """
    Of the client, not of the proxy.
    """
    client = standing.client()
    answer = told(client)
    assert answer["client"] == client.source
    assert answer["url"] == "https://api.test/tell/echo"
    assert values(answer, "host") == ["api.test"]
    assert values(answer, "x-forwarded-for") == [client.source]
    assert values(answer, "x-forwarded-proto") == ["https"]


@edges(where=lambda edge: edge.proxy != "traefik")
def test_the_name_comes_without_a_port(standing: Standing) -> None:
    """
    A port that the client claims to have asked is dropped.
    """
    answer = standing.client().get("/tell/echo", host="api.test:1234").json()
    assert values(answer, "host") == ["api.test"]
    assert answer["url"] == "https://api.test/tell/echo"


@edges()
def test_a_client_cannot_pretend_to_be_another(standing: Standing) -> None:
    """
    Every header that speaks of the client is overwritten or taken away.
    """
    client = standing.client()
    answer = told(client, **{name.replace("-", "_"): value for name, value in SPOOFED.items()})
    assert answer["client"] == client.source
    assert answer["url"] == "https://api.test/tell/echo"
    assert values(answer, "x-forwarded-for") == [client.source]
    said = " ".join(value for _, value in answer["headers"])
    assert "6.6.6.6" not in said
    assert "evil" not in said


@edges()
def test_a_client_cannot_say_it_twice(standing: Standing) -> None:
    """
    Neither in two lines nor in a name with an underscore.
    """
    client = standing.client()
    pairs = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "7.7.7.7"), ("X_Forwarded_For", "8.8.8.8")]
    answer = client.get("/tell/echo", headers=pairs).json()
    assert answer["client"] == client.source
    assert values(answer, "x-forwarded-for") == [client.source]


@edges()
def test_a_trusted_edge_is_believed(standing: Standing) -> None:
    """
    A CDN in front says who the client is: the right-most address that is not the CDN's. What stands left of it anybody wrote.
    """
    cdn = standing.client(source="127.99.0.1")
    answer = told(cdn, X_Forwarded_For="6.6.6.6, 203.0.113.7, 127.99.0.2", X_Forwarded_Proto="https")
    assert answer["client"] == "203.0.113.7"
    assert answer["url"] == "https://api.test/tell/echo"


@edges()
@pytest.mark.parametrize("given", ["a2345678", "A-request_id.0", "x" * 128])
def test_a_well_formed_request_id_is_kept(standing: Standing, given: str) -> None:
    """
    From the client to the application and back.
    """
    answer = standing.client().get("/tell/echo", headers={"X-Request-ID": given})
    assert answer.header("x-request-id") == given
    assert values(answer.json(), "x-request-id") == [given]


@edges("request-id")
@pytest.mark.parametrize("given", [None, "short", "x" * 129, "with blank", '"><script>', "ümläut-ümläut"])
def test_any_other_request_id_is_replaced(standing: Standing, given: str | None) -> None:
    """
    By the proxy, so that its log and the application's have the same.
    """
    client = standing.client()
    lines = f"GET /tell/echo HTTP/1.1\r\nHost: {client.host}\r\nConnection: close\r\n"
    lines += "" if given is None else f"X-Request-ID: {given}\r\n"
    answer = client.raw((lines + "\r\n").encode())
    made = answer.header("x-request-id") or ""
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert values(answer.json(), "x-request-id") == [made]


@edges()
def test_hop_by_hop_headers_stay_here(standing: Standing) -> None:
    """
    The headers that a client sends about its own connection are not passed on; nobody gets an upgrade to HTTP/2 in clear text.
    """
    client = standing.client()
    pairs = {"Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__", "Proxy": "http://evil.test"}
    lines = [f"{name}: {value}" for name, value in pairs.items()]
    head = ["GET /tell/echo HTTP/1.1", "Host: api.test", "Connection: Upgrade, HTTP2-Settings, close", *lines]
    answer = client.raw("\r\n".join([*head, "", ""]).encode())
    assert answer.status == 200
    assert values(answer.json(), "upgrade") == []
    assert values(answer.json(), "proxy") == []


@edges()
def test_clients_are_told_apart(standing: Standing) -> None:
    """
    Connections to the application are shared between clients; what is said about them is not.
    """
    clients = [standing.client() for _ in range(4)]
    for client in itertools.chain(clients, reversed(clients)):
        assert told(client)["client"] == client.source
