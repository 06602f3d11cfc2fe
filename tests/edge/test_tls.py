"""
TLS: modern only, for our name only; plain HTTP leads to it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

import pytest

from tests.edge import http2
from tests.edge.conftest import Standing
from tests.support.edges import edges
from tests.support.edges.client import Client, context, read

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
}


def shake_hands(client: Client, chosen: ssl.SSLContext) -> str | None:
    """
    The version that both agree on.
    """
    with (
        socket.create_connection(("127.0.0.1", 443), 5) as plain,
        chosen.wrap_socket(plain, server_hostname=client.host) as encrypted,
    ):
        return encrypted.version()


@edges(daily=True)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_modern_tls_is_spoken(standing: Standing, version: ssl.TLSVersion) -> None:
    """
    1.2 and 1.3.
    """
    chosen = context()
    chosen.minimum_version = chosen.maximum_version = version
    assert shake_hands(standing.client(), chosen) == version.name.replace("_", ".")


@edges()
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
def test_old_tls_is_refused(standing: Standing, version: ssl.TLSVersion) -> None:
    """
    1.0 and 1.1, by the server: the client would.
    """
    chosen = context()
    chosen.set_ciphers("ALL:@SECLEVEL=0")
    chosen.minimum_version = chosen.maximum_version = version
    with pytest.raises(ssl.SSLError) as refused:
        shake_hands(standing.client(), chosen)
    assert "ALERT" in str(refused.value), "it is the server who refuses"


@edges()
@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE+AES+SHA", "AES128-GCM-SHA256"])
def test_old_ciphers_are_refused(standing: Standing, cipher: str) -> None:
    """
    None without forward secrecy, none with CBC.
    """
    chosen = context()
    chosen.maximum_version = ssl.TLSVersion.TLSv1_2
    chosen.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError) as refused:
        shake_hands(standing.client(), chosen)
    assert "ALERT" in str(refused.value)


@edges(daily=True)
def test_http_leads_to_https(standing: Standing) -> None:
    """
    308, so that a POST stays one, with path and query; nothing is passed on.
    """
    answer = standing.client(scheme="http").post("/tell/echo?a=b%20c", body=b"secret")
    assert answer.status == 308
    assert answer.header("location") == "https://api.test/tell/echo?a=b%20c"


@edges(daily=True)
@pytest.mark.parametrize("path", ["/tell/echo", "/tell/problem/500", "/nowhere", "/health", "/static/nowhere.css"])
def test_security_headers_are_on_every_answer(standing: Standing, path: str) -> None:
    """
    Errors included, each once.
    """
    answer = standing.client().get(path)
    assert {name: answer.header(name) for name in SECURITY} == SECURITY
    assert answer.header("strict-transport-security") == "max-age=31536000"


@edges("problem-502", fixture="bare")
def test_security_headers_are_on_the_proxys_own_answers(bare: Standing) -> None:
    """
    Also where no application had a say.
    """
    answer = bare.client().get("/")
    assert answer.status == 502
    assert {name: answer.header(name) for name in SECURITY} == SECURITY
    assert answer.header("strict-transport-security") == "max-age=31536000"


@edges("application-headers")
def test_the_application_may_say_otherwise(standing: Standing) -> None:
    """
    Its own header wins, and is not doubled.
    """
    assert standing.client().get("/tell/framed").header("x-frame-options") == "SAMEORIGIN"


@edges()
def test_the_proxy_does_not_tell_its_version(standing: Standing) -> None:
    """
    Neither in a header nor in an error.
    """
    for path in ("/tell/echo", "/nowhere"):
        assert not any(character.isdigit() for character in standing.client().get(path).header("server") or "")


@edges()
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_another_name_is_not_served(standing: Standing, scheme: str) -> None:
    """
    No handshake, no answer, or an error: never the service, and no redirect to it.
    """
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        answer = standing.client(host="elsewhere.test", scheme=scheme).get("/tell/echo")
        assert 400 <= answer.status < 500
        assert b"client" not in answer.body
    # Our name in TLS and another one in the request.
    if scheme == "https":
        with contextlib.suppress(ConnectionError):
            answer = standing.client().get("/tell/echo", host="elsewhere.test")
            assert 400 <= answer.status < 500


@edges()
def test_http2_is_spoken(standing: Standing) -> None:
    """
    Chosen by ALPN; several requests share a connection, a POST with its body.
    """
    client = standing.client()
    with client.connect("h2") as connection:
        assert connection.selected_alpn_protocol() == "h2"  # type: ignore[attr-defined]
        answers = http2.exchange(
            connection,
            [("GET", "/health", b""), ("POST", "/tell/echo", b"x" * 40_000), ("GET", "/nowhere", b"")],
            client.host,
        )
    assert [answer.status for answer in answers] == [200, 200, 404]
    assert b'"size":40000' in answers[1].body
    assert answers[2].headers["content-type"] == "application/problem+json"


@edges()
def test_a_connection_is_kept(standing: Standing) -> None:
    """
    Several requests, one handshake.
    """
    with standing.client().kept() as connection:
        for _ in range(3):
            connection.sendall(b"GET /tell/echo HTTP/1.1\r\nHost: api.test\r\n\r\n")
            assert read(connection).status == 200
