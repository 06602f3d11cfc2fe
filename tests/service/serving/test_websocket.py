"""An idle WebSocket stays open, because something is said on it in time."""

import socket

from tests.service.serving.conftest import Serve
from tests.service.serving.running import PATIENCE

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING = 0x89


def test_a_ping_comes_within_the_budget(serve: Serve) -> None:
    """A proxy gives a silent one as long as a slow answer, so a short budget has pings as often."""
    server = serve(REQUEST_SECONDS="1").started()
    # uvicorn's own interval is longer than our patience.
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(HANDSHAKE)
        received = b""
        while not received.partition(b"\r\n\r\n")[2]:
            received += connection.recv(4096)
        head, _, frames = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert frames[0] == PING
