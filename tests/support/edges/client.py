"""
A client of a proxy that says exactly what it is told, from an address of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.edges.edge import DOMAIN

_numbers = itertools.count(1)


def unused() -> str:
    """
    An address that no client of this test run had before: whoever counts requests per client begins at nought.
    """
    number = next(_numbers)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"127.{20 + int(worker)}.{number // 250}.{number % 250 + 1}"


@dataclass(frozen=True)
class Answer:
    """
    One complete answer.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """
        The value of a header that must not be there twice.
        """
        values: list[str] = self.headers.get_all(name) or []
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None


@dataclass
class Client:
    """
    From 127.x.y.z, to this machine. `host` is what is asked for, in TLS and in the header.
    """

    source: str = field(default_factory=unused)
    host: str = DOMAIN
    scheme: str = "https"
    timeout: float = 15
    address: str = "127.0.0.1"
    #: Not the one of the scheme.
    port: int | None = None

    def connect(self, alpn: str = "http/1.1", name: str | None = None) -> socket.socket:
        """
        A connection, encrypted where the scheme says so.
        """
        plain = socket.create_connection(
            (self.address, self.port or (443 if self.scheme == "https" else 80)),
            self.timeout,
            source_address=(self.source, 0),
        )
        if self.scheme != "https":
            return plain
        try:
            return context(alpn).wrap_socket(plain, server_hostname=name or self.host)
        except BaseException:
            plain.close()
            raise

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        host: str | None = None,
        json: Any = None,
    ) -> Answer:
        """
        One request on one connection, written as it is given.
        """
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if json is not None:
            body = encode(json)
            pairs.append(("Content-Type", "application/json"))
        if body is not None:
            pairs.append(("Content-Length", str(len(body))))
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or self.host}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in pairs]
        return self.raw("\r\n".join([*lines, "", ""]).encode() + (body or b""), method)

    def raw(self, request: bytes, method: str = "GET") -> Answer:
        """
        These bytes, and the first answer to them.
        """
        with self.connect() as connection:
            # A proxy may refuse what is too large while it is still being written.
            with contextlib.suppress(OSError):
                connection.sendall(request)
            return read(connection, method)

    @contextlib.contextmanager
    def kept(self) -> Iterator[socket.socket]:
        """
        A connection to write to by hand.
        """
        with self.connect() as connection:
            yield connection


def context(alpn: str = "http/1.1") -> ssl.SSLContext:
    """
    Without a look at the certificate: it is self-signed here.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols([alpn])
    return made


def read(connection: socket.socket, method: str = "GET") -> Answer:
    """
    Read one answer.
    """
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()
