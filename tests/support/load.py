"""
A small HTTP/1.1 load generator that counts what is lost.

It exists because every ordinary client hides what we want to see: a retry on a reset connection turns a lost request into
a slow one. Here a request is written once. It is *answered* when a complete response with a status below 500 arrives, and
lost otherwise; there is no third case.
"""

import asyncio
import contextlib
import itertools
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support import namespaces
from tests.support.tally import Tally

Address = tuple[str, int] | str
"""`(host, port)`, or the path of a unix socket."""


@dataclass(frozen=True)
class Exchange:
    """
    The requests of the clients: a `GET` and a `POST`, in turn.

    `{n}` in the template of the body is a number that no other request of this process has, so that an acknowledged write
    can be looked for afterwards.
    """

    get: str
    post: str
    body: str = '{"name": "load-{n}"}'
    host: str = "localhost"

    def request(self, method: str, number: int, *, close: bool = False) -> bytes:
        """The bytes of one request."""
        body = self.body.replace("{n}", str(number)) if method == "POST" else ""
        lines = [f"{method} {self.post if method == 'POST' else self.get} HTTP/1.1", f"Host: {self.host}"]
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
        if close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Lost(Exception):
    """A request that got no complete answer; the message is the kind: refused, reset, eof, timeout or the status."""


@dataclass(frozen=True)
class Answer:
    """One whole response; the names of its headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_problem(self) -> bool:
        """Tell whether it is an error in the form of the contract."""
        return self.headers.get("content-type", "").partition(";")[0] == "application/problem+json"


class Connection:
    """One connection, and one request at a time on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.open = True

    @classmethod
    async def to(cls, address: Address, *, tls: ssl.SSLContext | None = None, host: str = "localhost") -> Self:
        """Connect; raises `Lost`."""
        name = host if tls else None
        try:
            if isinstance(address, str):
                return cls(*await asyncio.open_unix_connection(address, ssl=tls, server_hostname=name))
            return cls(*await asyncio.open_connection(*address, ssl=tls, server_hostname=name))
        except OSError as error:
            raise Lost("refused" if isinstance(error, ConnectionRefusedError) else "reset") from error

    @property
    def seen_closed(self) -> bool:
        """Tell whether the server has already closed it. Nothing must be written then, and no request is lost."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def exchange(self, request: bytes) -> Answer:
        """Write once, read one whole response; raises `Lost`. Keeps `open` true as long as the server does."""
        answered = False
        try:
            self._writer.write(request)
            await self._writer.drain()
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            answered = True
            status_line, *fields = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)}
            self.open = headers.get("connection", "").lower() != "close"
            return Answer(int(status_line.split()[1]), headers, await self._body(headers))
        except asyncio.IncompleteReadError as error:
            raise Lost("cut short" if answered or error.partial else "eof") from error
        except OSError as error:
            raise Lost("reset") from error

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readexactly(2)
            return body
        return await self._reader.readexactly(int(headers.get("content-length", "0")))

    async def close(self) -> None:
        """Close our end."""
        self.open = False
        if self._writer.get_extra_info("ssl_object"):
            # Everything has been read; a closing handshake would wait for a peer that may have gone.
            self._writer.transport.abort()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Load:
    """
    Clients in a thread of their own: `kept` of them stay on one connection, `fresh` take a new one for every request.

        with Load(address, exchange) as load:
            restart_the_service()
        assert load.tally.lost == 0

    Leaving the block ends the load after the requests that are under way; nothing in flight is abandoned or uncounted.
    `pause` (seconds) is between two requests of a client: kept connections are idle now and then, as behind a real proxy,
    which is when a server that closes them loses requests. No request takes longer than `patience` seconds. With
    `reconnect=False` a kept client ends with its connection: what came before it is counted, and nothing after it.
    `tls` is how to talk to a proxy, `namespace` the network (a file) in which the clients are.
    """

    _numbers: Iterator[int] = itertools.count(1)

    def __init__(
        self,
        address: Address,
        exchange: Exchange,
        *,
        kept: int = 12,
        fresh: int = 4,
        pause: float = 0.002,
        patience: float = 20,
        reconnect: bool = True,
        tls: ssl.SSLContext | None = None,
        namespace: Path | None = None,
    ) -> None:
        self.tally = Tally()
        self._reconnect = reconnect
        self._tls, self._namespace = tls, namespace
        self._address, self._exchange = address, exchange
        self._kept, self._fresh, self._pause, self._patience = kept, fresh, pause, patience
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(self._patience * 2 + 5)
        if self._thread.is_alive():
            raise RuntimeError("the load generator did not end")
        if self._failure is not None:
            raise self._failure

    @property
    def ended(self) -> bool:
        """Tell whether all clients have ended by themselves."""
        return not self._thread.is_alive()

    def wait_for(self, more: int, *, within: float = 30) -> None:
        """Return when `more` requests than now have ended; raises `TimeoutError`."""
        goal, deadline = self.tally.sent + more, time.monotonic() + within
        while self.tally.sent < goal:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TimeoutError(f"{self.tally.sent} of {goal} requests ended in {within} s")
            time.sleep(0.01)

    def _run(self) -> None:
        try:
            if self._namespace:
                namespaces.enter_network(self._namespace)
            asyncio.run(self._clients())
        except BaseException as error:  # handed to the thread that reads the tally
            self._failure = error

    async def _clients(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for number in range(self._kept + self._fresh):
                clients.create_task(self._client(keep=number < self._kept))

    async def _client(self, *, keep: bool) -> None:
        connection: Connection | None = None
        for method in itertools.cycle(("GET", "POST")):
            if self._stopping.is_set():
                break
            if connection is not None and connection.seen_closed:
                self.tally.dropped += 1
                await connection.close()
                connection = None
                if not self._reconnect:
                    break
            connection = await self._request(connection, method, keep=keep)
            if keep and connection is None and not self._reconnect:
                break
            await asyncio.sleep(self._pause)
        if connection is not None:
            await connection.close()

    async def _request(self, connection: Connection | None, method: str, *, keep: bool) -> Connection | None:
        """One request; the connection to go on with, or `None`."""
        number, started = next(self._numbers), time.monotonic()
        status: int | None = None
        kind: str | None = None
        try:
            async with asyncio.timeout(self._patience):
                connection = connection or await Connection.to(self._address, tls=self._tls, host=self._exchange.host)
                answer = await connection.exchange(self._exchange.request(method, number, close=not keep))
                status = answer.status
                if status >= 500:
                    kind = str(status)
                    self.tally.foreign += not answer.is_problem
        except Lost as lost:
            kind = str(lost)
        except TimeoutError:
            kind = "timeout"
        self.tally.note(method, started, status, kind)
        if kind is None and method == "POST" and status is not None and status < 300:
            self.tally.acknowledged.append(number)
        if connection is not None and (not keep or not connection.open or (kind is not None and status is None)):
            await connection.close()
            connection = None
        if kind in {"refused", "reset"}:
            await asyncio.sleep(0.01)  # a refused connect costs nothing: without this, one outage would count thousands
        return connection
