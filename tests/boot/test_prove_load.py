"""
The clients of a rendered `make prove` count what they should: against the same servers as the template's own clients.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from proving.exchange import Exchange
from proving.load import Load
from proving.tally import Tally

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

EXCHANGE = Exchange("/", "/", '{"name": "{n}"}')


def run(
    handler: Handler,
    *,
    requests: int = 40,
    kept: int = 2,
    fresh: int = 0,
    pause: float = 0.002,
    patience: float = 5,
) -> Tally:
    with server(handler) as port:
        load = Load(("127.0.0.1", port), EXCHANGE, kept=kept, fresh=fresh, pause=pause, patience=patience)
        with load:
            wait_until(lambda: load.tally.sent >= requests, seconds=60, what=f"{requests} requests")
        return load.tally


@pytest.mark.parametrize("fresh", [0, 2])
def test_nothing_is_lost_of_what_is_answered(fresh: int) -> None:
    """
    Both ways to delimit a body, kept and new connections.
    """
    tally = run(answers, fresh=fresh)
    assert tally.lost == 0
    assert tally.statuses == {200: tally.sent}
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
    assert set(tally.kinds) == {kind}
    assert tally.lost == tally.kinds[kind] <= tally.sent
    assert tally.in_flight == 0


def test_what_is_not_http_is_a_loss() -> None:
    """
    An answer that cannot be read is none.
    """

    async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        writer.write(b"hello\r\n\r\n")
        return True

    assert set(run(babbles).kinds) == {"garbled"}


def test_a_silent_server_is_a_loss() -> None:
    """
    Patience ends.
    """
    assert set(run(is_silent, requests=4, patience=0.1).kinds) == {"timeout"}


def test_nobody_there_is_a_loss() -> None:
    """
    A refused connection is a lost request.
    """
    with Load(("127.0.0.1", free_port()), EXCHANGE) as load:
        wait_until(lambda: load.tally.sent >= 20, seconds=60, what="20 requests")
    assert load.tally.kinds == {"refused": load.tally.sent}


def test_a_close_between_requests_is_no_loss() -> None:
    """
    A connection that is seen to be closed is not written to.
    """
    tally = run(leaves_when_idle, requests=20, pause=0.05)
    assert tally.statuses == {200: tally.sent}


def test_an_announced_close_is_heeded() -> None:
    """
    `Connection: close` is how a server says goodbye; nothing is sent on that connection any more, even while it is open.
    """
    numbers = set()

    async def announces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        numbers.add(number)
        return await says_goodbye(reader, writer, 3) or True

    tally = run(announces)
    assert tally.statuses == {200: tally.sent}
    assert numbers == {0}


def test_every_request_is_composed_once() -> None:
    """
    None is written again, whatever becomes of the answer: each has a number of its own, and the name of its client.
    """
    composed: list[bytes] = []

    class Recording(Exchange):
        def request(self, method: str, number: int, client: int = 0, *, close: bool = False) -> bytes:
            composed.append(super().request(method, number, client, close=close))
            return composed[-1]

    exchange = Recording("/", "/", '{"name": "{n}"}', ("X-Client: {client}",))
    with server(resets) as port, Load(("127.0.0.1", port), exchange, kept=2, fresh=0, pause=0.002) as load:
        wait_until(lambda: load.tally.sent >= 40, seconds=60, what="40 requests")
    posts = [request for request in composed if request.startswith(b"POST")]
    assert load.tally.sent == len(composed)
    assert len(set(posts)) == len(posts) > 10
    assert {line for request in composed for line in request.split(b"\r\n") if line.startswith(b"X-Client")} == {
        b"X-Client: 0",
        b"X-Client: 1",
    }


def test_only_what_was_in_flight_is_forgiven() -> None:
    """
    When a worker is killed, a request that was begun before and breaks off is set apart. One that was begun later, or that
    was refused, or answered with an error, is lost.
    """
    tally = Tally(forgive_before=time.monotonic())
    earlier, later = tally.forgive_before - 0.1, tally.forgive_before + 0.1
    for kind in ("reset", "eof", "cut short"):
        tally.note(earlier, None, kind)
    assert (tally.sent, tally.lost, tally.in_flight) == (3, 0, 3)
    tally.note(later, None, "reset")
    tally.note(earlier, None, "refused")
    tally.note(earlier, None, "timeout")
    tally.note(earlier, 503, "503")
    assert (tally.sent, tally.lost, tally.in_flight) == (7, 4, 3)


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

    with server(counts) as port, Load(("127.0.0.1", port), EXCHANGE, kept=3, fresh=2, pause=0.002) as load:
        wait_until(lambda: load.tally.sent >= 40, seconds=60, what="40 requests")
        load.last_orders()
        before, sent = accepted, load.turn().sent
        wait_until(lambda: load.tally.sent >= 40, seconds=60, what="40 more requests")
        assert accepted == before
        assert sent >= 40
    assert load.tally.lost == 0


def test_a_load_ends_by_itself_when_all_were_told_to_close() -> None:
    """
    After the last orders a stop is what ends it.
    """
    with server(says_goodbye) as port, Load(("127.0.0.1", port), EXCHANGE, kept=3, fresh=2, pause=0.002) as load:
        load.last_orders()
        began = time.monotonic()
        load.go_on(60)
        assert time.monotonic() - began < 50
    assert load.tally.lost == 0


# Their connections are left as they are.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failure_does_not_wait_for_answers() -> None:
    """
    When the block is left by an exception, nobody waits for requests that are under way.
    """
    began = time.monotonic()
    with (
        server(is_silent) as port,
        pytest.raises(TimeoutError),
        Load(("127.0.0.1", port), EXCHANGE, patience=120) as load,
    ):
        wait_until(lambda: load.tally.sent > 0, seconds=0.2, what="an answer")
    assert time.monotonic() - began < 60
