"""Probes: cheap liveness, honest readiness."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.core.config import ConfigurationError
from app.core.http_settings import HttpSettings
from app.core.readiness import ReadinessSettings
from tests.core.harness import build, client_of, dependency, works


async def refuses(state: Mapping[str, Any]) -> None:
    """Fail as a driver does, with the cause inside and an address in the text."""
    try:
        raise ConnectionRefusedError("server://user:secret@db")
    except OSError as error:
        raise RuntimeError("cannot connect") from error


async def hangs(state: Mapping[str, Any]) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def test_health_touches_nothing() -> None:
    """It says 200 with every dependency down, and to any host name."""
    service = build(dependency("broken", refuses), http=HttpSettings(allowed_hosts=("a.example",)))
    with client_of(service) as client:
        response = client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/health", "/ready", "/prefix/health", "/prefix/ready"])
def test_probes_answer_head_refuse_the_rest_and_know_their_prefix(path: str) -> None:
    """A proxy may or may not strip ROOT_PATH."""
    with client_of(build(http=HttpSettings(root_path="/prefix"))) as client:
        assert client.head(path).status_code == 200
        refused = client.post(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_ready_reports_every_check_and_fails_on_a_required_one() -> None:
    """The body names reasons, never details."""
    service = build(
        dependency("up", works),
        dependency("down", refuses),
        dependency("slow", hangs, required=False),
        readiness=ReadinessSettings(ready_check_seconds=0.01),
    )
    with client_of(service) as client:
        response = client.get("/ready")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json() == {
        "status": "unready",
        "checks": {
            "up": {"status": "up", "required": True},
            "down": {"status": "down", "required": True, "reason": "refused"},
            "slow": {"status": "down", "required": False, "reason": "timeout"},
        },
    }


def test_ready_requires_decides_what_counts() -> None:
    """The operator can take a dependency out of readiness; its state stays in the body."""
    service = build(dependency("down", refuses), readiness=ReadinessSettings(ready_requires=()))
    with client_of(service) as client:
        response = client.get("/ready")
    assert response.status_code == 200
    assert response.json()["checks"]["down"]["status"] == "down"


def test_an_unknown_name_in_ready_requires_stops_the_start() -> None:
    """A typing error must not silently weaken readiness."""
    with pytest.raises(ConfigurationError, match=r"no such check: databse .known: up"):
        build(dependency("up", works), readiness=ReadinessSettings(ready_requires=("databse",)))


def test_probes_in_a_row_and_at_once_share_one_round() -> None:
    """A hundred probes cost a dependency one question."""
    asked = 0

    async def count(state: Mapping[str, Any]) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    service = build(dependency("counted", count))
    service.readiness.started = True

    async def ask_together() -> list[tuple[bool, bytes]]:
        return await asyncio.gather(*(service.readiness.report({}) for _ in range(100)))

    reports = asyncio.run(ask_together())
    assert asked == 1
    assert {ready for ready, _ in reports} == {True}


def test_a_process_that_has_not_started_is_not_ready() -> None:
    """Without its lifespan, the service says that it is starting."""
    response = TestClient(build()).get("/ready")
    assert (response.status_code, response.json()) == (503, {"status": "starting", "checks": {}})
