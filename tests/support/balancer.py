"""
Balancers that spread requests over pods: by connection, as a Service does, and by request, as a gateway does.

Neither repeats a request: a loss stays one. Who leaves is taken out when somebody says so, which in a cluster is later than the pod
itself is told.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Self, cast

from tests.support.load import Address, Answer, Connection, Lost

_LOST = Answer(502, {"content-type": "text/plain"}, b"lost\n")


class Endpoints:
    """
    The addresses that serve now, in turn.

    As an address of `Load` it is a Service, the way kube-proxy makes one: the kernel chooses a pod when a connection is made, and
    the connection stays with that pod, whatever becomes of the list.
    """

    def __init__(self, *addresses: tuple[str, int]) -> None:
        self._addresses = list(addresses)
        self._turn = itertools.count()

    def __iter__(self) -> Iterator[str | int]:
        return iter(self.next())

    @property
    def service(self) -> Address:
        return cast(Address, self)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return list(self._addresses)

    def next(self) -> tuple[str, int]:
        addresses = self._addresses
        return addresses[next(self._turn) % len(addresses)]

    def add(self, address: tuple[str, int]) -> None:
        self._addresses = [*self._addresses, address]

    def remove(self, address: tuple[str, int]) -> None:
        self._addresses = [other for other in self._addresses if other != address]


class Gateway:
    """
    A reverse proxy that keeps its connections to the pods, as a context manager: `.address` is where it listens.

    Of connections that a pod has closed it knows as soon as the kernel does. Those to who has left are closed when they are idle.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.address = ("127.0.0.1", 0)
        self._idle: dict[tuple[str, int], list[Connection]] = {}
        self._up, self._stopping = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.wait(10)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)
        if self._thread.is_alive():
            raise RuntimeError("the gateway did not end")
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # handed to the thread that waits
            self._failure = error
        finally:
            self._up.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=2048)
        self.address = server.sockets[0].getsockname()
        self._up.set()
        while not self._stopping.is_set():
            await asyncio.sleep(0.02)
            for address in [one for one in self._idle if one not in self.endpoints.addresses]:
                await self._close(self._idle.pop(address))
        server.close()
        await self._close(itertools.chain.from_iterable(self._idle.values()))

    async def _close(self, connections: Iterator[Connection] | list[Connection]) -> None:
        for connection in connections:
            await connection.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._request(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """
        One request of a client; whether its connection stays.
        """
        head = await reader.readuntil(b"\r\n\r\n")
        fields = [line.partition(b":") for line in head.lower().splitlines()]
        headers = {name: value.strip() for name, _, value in fields}
        body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
        keep = headers.get(b"connection") != b"close"
        try:
            # What a client says about its connection is not about ours.
            answer = await self._forward(head.replace(b"Connection: close\r\n", b"") + body)
        except Lost:
            answer = _LOST
        writer.write(_written(answer, keep=keep))
        await writer.drain()
        return keep

    async def _forward(self, request: bytes) -> Answer:
        address = self.endpoints.next()
        idle = self._idle.setdefault(address, [])
        connection = None
        while idle and connection is None:
            connection = idle.pop()
            if connection.seen_closed:
                await connection.close()
                connection = None
        connection = connection or await Connection.to(address)
        try:
            answer = await connection.exchange(request)
        except BaseException:
            await connection.close()
            raise
        if connection.open:
            self._idle.setdefault(address, []).append(connection)
        else:
            await connection.close()
        return answer


def _written(answer: Answer, *, keep: bool) -> bytes:
    kept = "keep-alive" if keep else "close"
    lines = [
        f"HTTP/1.1 {answer.status} -",
        f"Content-Type: {answer.headers.get('content-type', '')}",
        f"Content-Length: {len(answer.body)}",
        f"Connection: {kept}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + answer.body
