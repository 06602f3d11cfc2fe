"""
Several upstreams: each documented way to choose among three, and one of them failing.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.edge.conftest import Standing
from tests.edge.recorder import Recorder
from tests.support.edges import edges
from tests.support.edges.client import Client
from tests.support.processes import wait_until

PORTS = (8101, 8102, 8103)
EXAMPLES = ("round-robin", "least-connections", "ip-hash", "weights")


@contextlib.contextmanager
def three(own: Standing, example: str) -> Iterator[list[Recorder]]:
    """
    Three services, and the proxy before them by one of its examples.
    """
    with contextlib.ExitStack() as stack:
        recorders = [stack.enter_context(Recorder.on(own.sandbox, port, str(port))) for port in PORTS]
        own.edge.balance(own.sandbox, own.project, example, PORTS)
        wait_until(lambda: own.client().get("/first").status == 200, seconds=60, what="an upstream is reached")
        yield recorders


def shares(own: Standing, number: int, method: str = "GET", client: Client | None = None) -> Counter[str]:
    """
    Count the answers of each server to these requests, of one client or of many; all of them have to be answered.
    """
    body = b"{}" if method == "POST" else None
    answers = [(client or own.client()).request(method, f"/{n}", body=body) for n in range(number)]
    assert {answer.status for answer in answers} == {200}
    return Counter(answer.body.decode() for answer in answers)


@edges(fixture="own")
def test_every_edge_has_the_four_examples(own: Standing) -> None:
    """
    Documented where they lie.
    """
    folder = own.project / f"deploy/{own.edge.proxy}/balancing"
    assert {path.stem for path in folder.iterdir()} >= set(EXAMPLES)
    readme = own.project.read(f"deploy/{own.edge.proxy}/README.md")
    assert all(example in readme for example in EXAMPLES)


@edges(fixture="own")
def test_round_robin_gives_equal_shares(own: Standing) -> None:
    """
    Ten each of thirty, one or two more or less where connections are kept.
    """
    with three(own, "round-robin"):
        shared = shares(own, 30)
        assert len(shared) == 3
        assert all(abs(count - 10) <= 2 for count in shared.values()), shared


@edges(fixture="own")
def test_weights_are_kept(own: Standing) -> None:
    """
    3 : 2 : 1.
    """
    with three(own, "weights"):
        shared = shares(own, 60)
        for port, expected in zip(PORTS, (30, 20, 10), strict=True):
            assert abs(shared[str(port)] - expected) <= 4, shared


@edges(fixture="own")
def test_one_client_stays_with_one_host(own: Standing) -> None:
    """
    By address; different clients go to different hosts.
    """
    with three(own, "ip-hash"):
        clients = [own.client(source=f"127.{n}.{n}.{n}") for n in range(2, 32)]
        first = [shares(own, 4, client=client) for client in clients]
        assert all(len(shared) == 1 for shared in first)
        assert len({next(iter(shared)) for shared in first}) > 1


@edges(fixture="own")
def test_the_idlest_host_is_asked(own: Standing) -> None:
    """
    A host that is still at work is spared.
    """
    with three(own, "least-connections") as recorders:
        for recorder in recorders:
            recorder.requests.clear()
        recorders[0].silent = True
        waiting: list[threading.Thread] = []
        while not recorders[0].requests:
            waiting.append(threading.Thread(target=_ask, args=(own.client(),), daemon=True))
            waiting[-1].start()
            waiting[-1].join(0.3)
        shared = shares(own, 12)
        assert str(PORTS[0]) not in shared
        assert len(shared) == 2


def _ask(client: Client) -> None:
    with contextlib.suppress(OSError):
        client.get("/waiting")


@edges(fixture="own")
@pytest.mark.parametrize("example", EXAMPLES)
def test_one_that_is_off_costs_nobody_anything(own: Standing, example: str) -> None:
    """
    Its clients go to the others, a POST too: it was not sent, the connection was refused.
    """
    with three(own, example) as recorders:
        recorders[1].close()
        if example in own.edge.cannot:
            wait_until(lambda: is_left_out(own), seconds=60, what="the health check has left it out")
        for method in ("GET", "POST"):
            for number in range(2, 8):
                client = own.client(source=f"127.{number}.1.{number}")
                assert str(PORTS[1]) not in shares(own, 4, method, client)


def is_left_out(own: Standing) -> bool:
    return "Health check failed" in own.sandbox.logs()


@edges(fixture="own")
def test_one_that_breaks_gets_no_post_twice(own: Standing) -> None:
    """
    The POST may have been done: its client is told, and no other host gets it.
    """
    with three(own, "round-robin") as recorders:
        for recorder in recorders:
            recorder.requests.clear()
        recorders[0].resets = 1000
        statuses = [own.client().post(f"/post-{number}", body=b"{}").status for number in range(9)]
        assert 502 in statuses
        sent = Counter(head.split()[1] for recorder in recorders for head in recorder.heads)
        assert all(count == 1 for path, count in sent.items() if path.startswith(b"/post")), sent
