"""
The load generator counts what it should: against a server of a few lines that loses on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.support.load import Exchange, Load
from tests.support.processes import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[bool]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@contextlib.contextmanager
def server(handler: Handler) -> Iterator[int]:
    """Serve connections with `handler(reader, writer, n)`, once per request; false closes. Gives the port."""
    port = free_port()
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            for number in range(10**6):
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or b"0"))
                if not await handler(reader, writer, number):
                    break

    async def main() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        async with await asyncio.start_server(connection, "127.0.0.1", port):
            ready.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(5)
    try:
        yield port
    finally:
        stop[0]()
        thread.join(5)


def run(handler: Handler, *, requests: int = 40, kept: int = 2, fresh: int = 0, patience: float = 5) -> Load:
    with server(handler) as port:
        load = Load(("127.0.0.1", port), Exchange("/", "/"), kept=kept, fresh=fresh, patience=patience)
        with load:
            load.wait_for(requests)
        return load


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
    writer.write(CHUNKED if number % 2 else OK)
    return True


async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
    if number == 3:
        writer.write(OK[:-1])
        return False
    return await answers(reader, writer, number)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
    if number == 3:
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    return await answers(reader, writer, number)


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
    return number != 3 and await answers(reader, writer, number)


async def fails(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
    writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
    return True


async def says_goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
    if number == 3:
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        return False
    return await answers(reader, writer, number)


async def leaves_when_idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
    await answers(reader, writer, number)
    return number != 3


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
    await reader.read()  # until the client gives up
    return False


@pytest.mark.parametrize("fresh", [0, 2])
def test_nothing_is_lost_of_what_is_answered(fresh: int) -> None:
    """
    Both ways to delimit a body, kept and new connections: all sent, none lost, every POST acknowledged once.
    """
    tally = run(answers, fresh=fresh).tally
    assert tally.lost == 0
    assert tally.statuses == {200: tally.sent}
    assert len(set(tally.acknowledged)) == len(tally.acknowledged)
    assert abs(len(tally.acknowledged) - tally.sent / 2) <= 4


@pytest.mark.parametrize(
    ("handler", "kind"),
    [(cuts, "cut short"), (resets, "reset"), (hangs_up, "eof"), (fails, "503")],
    ids=["cut", "reset", "eof", "5xx"],
)
def test_each_way_to_lose_is_counted(handler: Handler, kind: str) -> None:
    """
    A request that was written and not answered is lost, once, and not tried again.
    """
    tally = run(handler).tally
    assert set(tally.kinds) == {kind}
    assert tally.lost + len(tally.times) == tally.sent


def test_a_silent_server_is_a_loss() -> None:
    """
    Patience ends.
    """
    assert set(run(is_silent, requests=4, patience=0.1).tally.kinds) == {"timeout"}


def test_nobody_there_is_a_loss() -> None:
    """
    A refused connection is a lost request.
    """
    with Load(("127.0.0.1", free_port()), Exchange("/", "/")) as load:
        load.wait_for(20)
    assert set(load.tally.kinds) == {"refused"}
    assert load.tally.lost == load.tally.sent


def test_an_announced_close_is_no_loss() -> None:
    """
    `Connection: close` is how a server says goodbye; the client comes back on a new connection.
    """
    tally = run(says_goodbye).tally
    assert (tally.lost, tally.dropped) == (0, 0)


def test_a_close_between_requests_is_noted_apart() -> None:
    """
    A server that closes an idle connection without a word lost nothing this time: `dropped` tells that it might have.
    """
    tally = run(leaves_when_idle).tally
    assert tally.dropped > 0
    assert set(tally.kinds) <= {"eof", "reset"}
