"""The suite notices code that blocks the event loop."""

import time

import pytest
from blockbuster import BlockingError
from fastapi.testclient import TestClient

from tests.core.harness import build, dependency, works


def test_blocking_code_of_ours_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleeping in a coroutine of the application is an error, not a slow test."""

    def monotonic() -> float:
        time.sleep(0.001)
        return 0.0

    with TestClient(build(dependency("up", works))) as client:
        monkeypatch.setattr("app.core.readiness.time.monotonic", monotonic)
        with pytest.raises(BlockingError):
            client.get("/ready")


def test_a_lifespan_may_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a resource may read files: nobody is served before it is open."""
    monkeypatch.setattr("app.core.service.configure_logging", lambda settings: time.sleep(0.001))
    with TestClient(build()) as client:
        assert client.get("/health").status_code == 200
