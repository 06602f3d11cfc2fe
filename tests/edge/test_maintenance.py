"""
Maintenance: the proxy answers instead of the service, and says until when.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge.conftest import Standing
from tests.edge.test_errors import is_problem
from tests.support.edges import edges
from tests.support.processes import wait_until


@pytest.fixture
def closed(standing: Standing) -> Iterator[Standing]:
    """
    A service in maintenance, by the lines of the rendered chapter.
    """
    standing.maintenance("on")
    wait_until(
        lambda: standing.client().get("/tell/echo").status == 503, seconds=60, what="the proxy has seen the maintenance"
    )
    yield standing
    standing.maintenance("off")
    wait_until(lambda: standing.client().get("/tell/echo").status == 200, seconds=60, what="the service is back")


@edges()
def test_maintenance_is_a_problem_with_an_end(closed: Standing) -> None:
    """
    503 for everything, with the time after which to come back; also /ready, for a load balancer in front.
    """
    for method, path in (("GET", "/tell/echo"), ("POST", "/tell/echo"), ("GET", "/nowhere"), ("GET", "/ready")):
        answer = closed.client().request(method, path)
        is_problem(answer, 503, "unavailable", path)
        assert answer.header("retry-after") == "30"
        assert answer.header("x-frame-options") == "DENY"


@edges()
def test_the_process_is_alive_in_maintenance(closed: Standing) -> None:
    """
    /health goes on: nobody is to restart what is being looked after. Plain HTTP still leads to HTTPS.
    """
    assert closed.client().get("/health").json() == {"status": "ok"}
    assert closed.client(scheme="http").get("/").status in (301, 308)


@edges()
@pytest.mark.parametrize(
    "path", ["//health", "/nowhere/../health", "/./health", "/nowhere%2f..%2fhealth", "/nowhere/%2e%2e/health"]
)
def test_nothing_else_passes_for_health(closed: Standing, path: str) -> None:
    """
    A path that the proxy reads as /health reaches the service as /health, or not at all.
    """
    answer = closed.client().get(path)
    if answer.status == 200:
        assert answer.json() == {"status": "ok"}
    else:
        assert answer.status in (400, 503)
