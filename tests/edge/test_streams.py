"""
Exchanges that are more than a request and an answer: WebSockets, events, much text.
"""

from __future__ import annotations

import gzip
import socket

from websockets.sync.client import connect

from tests.edge.conftest import Standing
from tests.edge.recorder import Recorder
from tests.support.edges import edges
from tests.support.edges.client import context, read
from tests.support.processes import wait_until


@edges()
def test_a_websocket_echoes(standing: Standing) -> None:
    """
    Through TLS, one message and many, small and large.
    """
    client = standing.client()
    connection = socket.create_connection(("127.0.0.1", 443), 10, source_address=(client.source, 0))
    with connect(f"wss://{client.host}/tell/socket", sock=connection, ssl=context()) as websocket:
        for message in ["hello", *(f"message {number}" for number in range(50)), "x" * 100_000]:
            websocket.send(message)
            assert websocket.recv(10) == message


@edges()
def test_events_arrive_when_they_happen(standing: Standing) -> None:
    """
    A stream that asks for it is not collected.
    """
    with standing.client().kept() as connection:
        connection.sendall(b"GET /tell/events HTTP/1.1\r\nHost: api.test\r\nAccept-Encoding: gzip\r\n\r\n")
        received = b""
        while b"data: first" not in received:
            part = connection.recv(65536)
            assert part, received
            received += part
        assert b"data: last" not in received
        while b"data: last" not in received:
            part = connection.recv(65536)
            assert part, received
            received += part


@edges()
def test_text_is_compressed_for_who_asks(standing: Standing) -> None:
    """
    gzip, with Vary; nothing for who does not ask, and nothing small.
    """
    client = standing.client()
    packed = client.get("/tell/large?size=100000", headers={"Accept-Encoding": "gzip"})
    assert packed.header("content-encoding") == "gzip"
    assert "accept-encoding" in (packed.header("vary") or "").lower()
    assert len(packed.body) < 10_000
    plain = client.get("/tell/large?size=100000")
    assert plain.header("content-encoding") is None
    assert plain.body == gzip.decompress(packed.body)
    assert client.get("/tell/slow?seconds=0", headers={"Accept-Encoding": "gzip"}).header("content-encoding") is None


@edges("slow-reader", fixture="bare")
def test_a_slow_reader_does_not_hold_the_service(bare: Standing) -> None:
    """
    An answer is taken from the service as fast as it gives it, whoever reads it at leisure.
    """
    with Recorder.on(bare.sandbox, bare.edge.address, "x" * 20_000_000) as recorder, bare.client().kept() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: api.test\r\n\r\n")
        wait_until(lambda: recorder.answered == 1, seconds=60, what="the service has got rid of its answer")
        assert len(read(connection).body) == 20_000_000
