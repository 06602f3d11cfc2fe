"""
A server of a few lines behind the proxy: it keeps every byte that arrives, and answers, resets or says nothing.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Self

from tests.support.sandbox import Sandbox

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nX-Request-ID: recorded\r\n\r\n%s"


class Recorder:
    """
    Listens where the service would. `requests` are the heads and bodies that came, in order.

    `resets` of the next requests are answered by a reset, after they have been read whole; a `silent` one never answers.
    """

    def __init__(self, listener: socket.socket, name: str = "recorded") -> None:
        self.requests: list[bytes] = []
        self.connections = self.answered = 0
        self.resets = 0
        self.silent = False
        self.name = name
        self._listener = listener
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @classmethod
    @contextlib.contextmanager
    def on(cls, sandbox: Sandbox, address: str | int, name: str = "recorded") -> Iterator[Self]:
        """
        Listen on an address of the sandbox until the end of the block.
        """
        with sandbox.listen(address) as listener:
            recorder = cls(listener, name)
            recorder._thread.start()
            try:
                yield recorder
            finally:
                recorder.close()

    def close(self) -> None:
        """
        Stop listening, as a machine that was switched off.
        """
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    @property
    def heads(self) -> list[bytes]:
        return [request.partition(b"\r\n\r\n")[0] for request in self.requests]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            received = b""
            while True:
                while (length := _length(received)) is None or len(received) < length:
                    part = connection.recv(65536)
                    if not part:
                        if received:
                            self.requests.append(received)
                        return
                    received += part
                # A server takes exactly what the lengths say; what follows would be the next request.
                request, received = received[:length], received[length:]
                self.requests.append(request)
                if self.silent:
                    continue
                if self.resets:
                    self.resets -= 1
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                name = self.name.encode()
                connection.sendall(OK % (len(name), name if not request.startswith(b"HEAD") else b""))
                self.answered += 1


def _length(received: bytes) -> int | None:
    """
    The length of the first request, None while nobody can know.
    """
    head, found, rest = received.partition(b"\r\n\r\n")
    if not found:
        return None
    fields = head.lower().split(b"\r\n")[1:]
    if any(field.startswith(b"transfer-encoding:") for field in fields):
        end = rest.find(b"0\r\n\r\n")
        return None if end < 0 else len(head) + 4 + end + 5
    lengths = [field.split(b":")[1].strip() for field in fields if field.startswith(b"content-length:")]
    if lengths and not lengths[0].isdigit():
        return len(received)
    return len(head) + 4 + (int(lengths[0]) if lengths else 0)
