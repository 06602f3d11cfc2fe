"""One connection to the service, on which nothing is ever sent twice."""

import asyncio
import contextlib
from typing import Any, Self

Address = tuple[str, int] | str
"""`(host, port)`, or the path of a unix socket."""
# Of the head of a response.
_LIMIT_BYTES = 1 << 20


class Lost(Exception):
    """A request without a complete answer; the message is how: refused, reset, eof …"""


class Connection:
    """Asks one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take streams that are open."""
        self._reader, self._writer = reader, writer
        self.open = True

    @classmethod
    async def to(cls, address: Address, **options: Any) -> Self:
        """Connect; raises Lost. Options are those of `asyncio.open_connection`, such as `ssl`."""
        options.setdefault("limit", _LIMIT_BYTES)
        try:
            if isinstance(address, str):
                return cls(*await asyncio.open_unix_connection(address, **options))
            return cls(*await asyncio.open_connection(*address, **options))
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            raise Lost("refused" if refused else "reset") from error

    @property
    def seen_closed(self) -> bool:
        """Whether the server has closed it. Nothing must be written then, and nothing is lost."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Write once and read one response; raises Lost. `open` tells whether it can go on."""
        answered = False
        try:
            self._writer.write(request)
            await self._writer.drain()
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            answered = True
            status_line, *lines = head.split("\r\n")
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            self.open = headers.get("connection", "").lower() != "close"
            return int(status_line.split()[1]), await self._body(headers)
        except asyncio.IncompleteReadError as error:
            raise Lost("cut short" if answered or error.partial else "eof") from error
        except OSError as error:
            raise Lost("reset") from error
        except (ValueError, IndexError, asyncio.LimitOverrunError) as error:
            raise Lost("garbled") from error

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
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
