"""
docs/contract.md, "Probes": of every kind of application by its production command, and of the default by every other server.
"""

from __future__ import annotations

import pytest

from tests.boot.serving import Served


def checks(served: Served) -> dict[str, object]:
    """The body's `checks` while everything is well."""
    return {"database": {"status": "up", "required": True}} if served.facts["has_database"] else {}


def test_health_says_that_the_process_is_alive(served: Served) -> None:
    """
    /health is 200 with one constant body, and is never cached.
    """
    answer = served.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_ready_names_every_dependency(served: Served) -> None:
    """
    /ready is 200 with the state of each dependency, and is never cached.
    """
    answer = served.get("/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": checks(served)})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_answer_head(served: Served, path: str) -> None:
    """
    HEAD has the status and headers of GET, and no body.
    """
    head, get = served.request("HEAD", path), served.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))
    assert head.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/health", "/ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_probes_refuse_other_methods(served: Served, path: str, method: str) -> None:
    """
    Everything but GET and HEAD is 405 and says what is allowed.
    """
    answer = served.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.headers["cache-control"] == "no-store"


def test_probes_are_not_logged(served: Served) -> None:
    """
    The access log stays quiet, however often a load balancer asks.
    """
    for path in ("/health", "/ready"):
        served.get(path, headers={"X-Request-ID": "probe-is-not-logged"})
        served.request("POST", path, headers={"X-Request-ID": "probe-is-not-logged"})
    served.get("/nowhere", headers={"X-Request-ID": "the-line-after-the-probes"})
    served.access_line("the-line-after-the-probes")
    logged = served.service.access_lines()
    assert not [line for line in logged if line["path"] in ("/health", "/ready")]
    assert not [line for line in logged if line["request_id"] == "probe-is-not-logged"]
