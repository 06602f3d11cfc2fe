"""
One sequence of events, and at each of them all edges at once under load: what is lost, or sent twice. How slow it was is in the table.

The load is GET and POST in turn, on kept connections and on new ones, and no client retries. The table is printed at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import pytest

from tests.support.load import Load
from tests.support.tally import Tally
from tests.vm import database, ledger
from tests.vm.edges import NGINX, Edge
from tests.vm.events import EVENTS
from tests.vm.host import Host
from tests.vm.hosts import on

#: Where not a single request may be lost.
UNNOTICED = ("deploy", "second deploy", "third deploy", "rollback", "second rollback", "release restart")
#: Seconds above the slowest answer of a quiet time, for 99 of 100 answers: a stall holds up every client at once, which is
#: more than that; a processor that was busy elsewhere holds up one. The slowest of all is in the table.
SLOWER = 0.25
#: Requests through each edge before an event, and after it.
ENOUGH = 60


@pytest.mark.parametrize("event", [event for event in EVENTS if event != "nothing"])
@on("trixie")
def test_an_event_loses_what_it_may(host: Host, edges: tuple[Edge, ...], event: str) -> None:
    """
    Deploys, rollbacks and restarts are not noticed by anybody; the rest costs what cannot be saved, and never a write.
    """
    count(host, edges, event)


@pytest.mark.parametrize("event", ["deploy", "rollback"])
@on("bookworm")
def test_the_oldest_system_does_the_same(host: Host, event: str) -> None:
    """
    The same units, the same program, an older systemd, Python and nginx.
    """
    count(host, (NGINX,), event)


@pytest.mark.nightly
@pytest.mark.parametrize("event", ["deploy", *(event for event in EVENTS if event not in UNNOTICED)])
@on("bookworm")
def test_the_oldest_system_does_all_of_it(host: Host, event: str) -> None:
    """
    The events that can happen there, too.
    """
    count(host, (NGINX,), event)


@pytest.mark.nightly
@on("trixie")
def test_nobody_waits_for_a_deploy(host: Host, edges: tuple[Edge, ...]) -> None:
    """
    Not only is nothing lost: 99 of 100 answers are as fast as when nothing happens.
    """
    quiet, busy = count(host, edges, "nothing"), count(host, edges, "deploy")
    slowest = max(tally.slowest for tally in quiet.values())
    for edge, tally in busy.items():
        assert tally.p99 < slowest + SLOWER, tally.row("deploy", edge)


def count(host: Host, edges: tuple[Edge, ...], event: str) -> dict[str, Tally]:
    """
    Let an event happen under load, write the table, and judge.
    """
    tallies = under_load(host, edges, event)
    twice = {edge.name: sent_twice(host, edge, tallies[edge.name]) for edge in edges}
    ledger.write(
        [ledger.row(tallies[edge.name], twice[edge.name], host.machine.suite, event, edge.name) for edge in edges]
    )
    for edge in edges:
        judge(event, edge, tallies[edge.name])
    assert not any(twice.values()), twice
    return tallies


def under_load(host: Host, edges: tuple[Edge, ...], event: str) -> dict[str, Tally]:
    """
    Let an event happen while every edge is used.
    """
    happening = EVENTS[event](host)
    next(happening)
    with contextlib.ExitStack() as stack:
        loads = {edge.name: stack.enter_context(edge.load(host)) for edge in edges}
        wait_for_each(loads.values(), ENOUGH)
        next(happening, None)
        wait_for_each(loads.values(), ENOUGH)
    return {name: load.tally for name, load in loads.items()}


def wait_for_each(loads: Collection[Load], more: int) -> None:
    """
    Return when every load has had so many more requests.
    """
    goals = [(load, load.tally.sent + more) for load in loads]
    for load, goal in goals:
        load.wait_for(max(goal - load.tally.sent, 0))


def judge(event: str, edge: Edge, tally: Tally) -> None:
    """
    Compare what one edge's clients saw with what they may see.
    """
    said = tally.row(event, edge.name)
    if event in UNNOTICED or event in {"nothing", "systemctl restart"}:
        assert tally.lost == 0, said
    elif event.startswith("kill"):
        # At most what every client had under way. What a proxy may send again, it has, unless the answer had begun; once
        # in many kills the second try meets a connection that has died as well.
        assert tally.lost <= edge.clients, said
        assert set(tally.kinds) <= {"eof", "reset", "cut short", "502"}, said
        assert not edge.encrypted or tally.ways["GET 502"] <= 1, f"{said} {tally.ways}"
    elif event.startswith("database"):
        assert set(tally.kinds) <= {"503"}, said
    if edge.encrypted or event != "reboot":
        assert tally.foreign == 0, f"{said}: {tally.foreign} errors in another form"


def sent_twice(host: Host, edge: Edge, tally: Tally) -> int:
    """
    Count the writes that were made twice. Every acknowledged one is there, whatever has happened since.
    """
    rows = database.query(host.machine, host.slug, f"select name from items where name like '{edge.name}-%'")
    missing = {f"{edge.name}-{number}" for number in tally.acknowledged} - set(rows)
    assert not missing, f"{len(missing)} acknowledged writes are not stored: {sorted(missing)[:5]}"
    # A name is unique: the second attempt is answered 409.
    return tally.statuses[409] + len(rows) - len(set(rows))
