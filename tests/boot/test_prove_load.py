"""
The clients of a rendered `make prove` count what they should: against the same servers as the template's own clients.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from importlib.machinery import SourceFileLoader
from typing import Any

import pytest

from tests.boot.test_load import (
    OK,
    Handler,
    answers,
    cuts,
    fails,
    hangs_up,
    is_silent,
    leaves_when_idle,
    resets,
    says_goodbye,
    server,
)
from tests.support.processes import free_port, wait_until
from tests.support.scatter import TEMPLATE


def program() -> Any:
    """
    `scripts/prove` as a module.
    """
    loader = SourceFileLoader("prove_script", str(TEMPLATE / "scripts" / "prove"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for it.
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


prove = program()
REQUESTS = [prove.Request("GET", "/"), prove.Request("POST", "/", body='{"name": "{n}"}')]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Clients that are hardly ever idle, and have no patience.
    """
    monkeypatch.setattr(prove, "PAUSE_SECONDS", 0.002)
    monkeypatch.setattr(prove, "REQUEST_SECONDS", 5)


def sent(load: Any) -> int:
    count: int = load.tally.outcomes.total()
    return count


def run(handler: Handler, *, requests: int = 40, kept: int = 2, fresh: int = 0) -> Any:
    with server(handler) as port:
        load = prove.Load(port, REQUESTS, kept, fresh)
        with load:
            wait_until(lambda: sent(load) >= requests, seconds=60, what=f"{requests} requests")
        return load.tally


@pytest.mark.parametrize("fresh", [0, 2])
def test_nothing_is_lost_of_what_is_answered(fresh: int) -> None:
    """
    Both ways to delimit a body, kept and new connections.
    """
    tally = run(answers, fresh=fresh)
    assert tally.lost == 0
    assert tally.outcomes.keys() == {"200"}
    assert 0 < tally.slowest < 5


@pytest.mark.parametrize(
    ("handler", "kind"),
    [(cuts, "cut short"), (resets, "reset"), (hangs_up, "eof"), (fails, "503")],
    ids=["cut", "reset", "eof", "5xx"],
)
def test_each_way_to_lose_is_counted(handler: Handler, kind: str) -> None:
    """
    A request that was written and not answered is lost, once, and not tried again.
    """
    tally = run(handler)
    assert tally.outcomes.keys() - {"200"} == {kind}
    assert tally.lost == tally.outcomes[kind]


def test_what_is_not_http_is_a_loss() -> None:
    """
    An answer that cannot be read is none.
    """

    async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        writer.write(b"hello\r\n\r\n")
        return True

    assert set(run(babbles).outcomes) == {"garbled"}


def test_headers_that_end_early_are_a_loss() -> None:
    """
    Neither of the headers that tell the length of a body has come: nothing says that this is all.
    """

    async def stops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nserver: x\r\n")
        return False

    assert set(run(stops).outcomes) == {"cut short"}


def test_a_silent_server_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Patience ends.
    """
    monkeypatch.setattr(prove, "REQUEST_SECONDS", 0.1)
    assert set(run(is_silent, requests=4).outcomes) == {"timeout"}


def test_nobody_there_is_a_loss() -> None:
    """
    A refused connection is a lost request.
    """
    with prove.Load(free_port(), REQUESTS) as load:
        wait_until(lambda: sent(load) >= 20, seconds=60, what="20 requests")
    assert load.tally.outcomes == {"refused": load.tally.lost}


def test_a_close_between_requests_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A connection that is seen to be closed is not written to.
    """
    monkeypatch.setattr(prove, "PAUSE_SECONDS", 0.05)
    assert set(run(leaves_when_idle, requests=20).outcomes) == {"200"}


def test_an_announced_close_is_heeded() -> None:
    """
    `Connection: close` is how a server says goodbye; nothing is sent on that connection any more, even while it is open.
    """
    numbers = set()

    async def announces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        numbers.add(number)
        return await says_goodbye(reader, writer, 3) or True

    assert set(run(announces).outcomes) == {"200"}
    assert numbers == {0}


def test_every_request_is_written_once() -> None:
    """
    None is written again, whatever becomes of the answer: each has a number of its own, and the name of its client.
    """
    written: list[bytes] = []

    class Recording(prove.Request):  # type: ignore[misc, name-defined]
        def send(self, connection: Any, client: int, number: int) -> Any:
            write = connection.send

            def record(data: bytes) -> None:
                written.append(data)
                write(data)

            connection.send = record
            try:
                return super().send(connection, client, number)
            finally:
                del connection.send

    requests = [Recording(request.method, request.path, ["X-Client: {client}"], request.body) for request in REQUESTS]
    with server(resets) as port, prove.Load(port, requests, 2, 0) as load:
        wait_until(lambda: sent(load) >= 40, seconds=60, what="40 requests")
    heads = [data for data in written if data.startswith((b"GET", b"POST"))]
    bodies = [data for data in written if data.startswith(b"{")]
    assert sent(load) == len(heads)
    assert len(set(bodies)) == len(bodies) > 10
    assert {line for head in heads for line in head.split(b"\r\n") if line.startswith(b"X-Client")} == {
        b"X-Client: 0",
        b"X-Client: 1",
    }


def test_only_what_was_in_flight_is_forgiven() -> None:
    """
    When a worker is killed, a request that was begun before and breaks off is set apart. One that was begun later, or that
    was refused, or answered with an error, is lost.
    """
    tally = prove.Tally(forgive_before=time.monotonic())
    earlier, later = tally.forgive_before - 0.1, tally.forgive_before + 0.1
    for kind in ("reset", "eof", "cut short"):
        tally.note(earlier, kind)
    assert (tally.lost, tally.outcomes) == (0, {prove.IN_FLIGHT: 3})
    tally.note(later, "reset")
    tally.note(earlier, "refused")
    tally.note(earlier, "timeout")
    tally.note(earlier, "503")
    assert (tally.lost, tally.outcomes[prove.IN_FLIGHT]) == (4, 3)


def test_last_orders_leave_only_connections_the_server_knows() -> None:
    """
    Nobody connects any more, everybody who is connected has been answered; the rest goes on until it is told to close.
    """
    accepted = 0

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        nonlocal accepted
        accepted += number == 0
        writer.write(OK)
        return True

    with server(counts) as port, prove.Load(port, REQUESTS, 3, 2) as load:
        wait_until(lambda: sent(load) >= 40, seconds=60, what="40 requests")
        load.last_orders()
        before, counted = accepted, load.turn().outcomes.total()
        wait_until(lambda: sent(load) >= 40, seconds=60, what="40 more requests")
        assert accepted == before
        assert counted >= 40
    assert load.tally.lost == 0


def test_a_load_ends_by_itself_when_all_were_told_to_close() -> None:
    """
    After the last orders a stop is what ends it.
    """
    with server(says_goodbye) as port, prove.Load(port, REQUESTS, 3, 2) as load:
        load.last_orders()
        began = time.monotonic()
        load.go_on(60)
        assert time.monotonic() - began < 50
    assert load.tally.lost == 0


def test_a_failure_does_not_wait_for_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When the block is left by an exception, nobody waits for requests that are under way.
    """
    monkeypatch.setattr(prove, "REQUEST_SECONDS", 120)
    began = time.monotonic()
    with server(is_silent) as port, pytest.raises(TimeoutError), prove.Load(port, REQUESTS) as load:
        wait_until(lambda: sent(load) > 0, seconds=0.2, what="an answer")
    assert time.monotonic() - began < 60
