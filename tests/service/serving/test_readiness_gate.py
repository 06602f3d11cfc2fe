"""The gate: a run that is not ready takes no connection."""

import json
from pathlib import Path

import pytest

from serving.environment import BadVariable
from serving.readiness import GateConditions
from tests.service.serving.conftest import Serve
from tests.service.serving.running import wait_until
from tests.service.serving.test_boot import kill


def answer(**checks: str) -> str:
    """Return the body of a `/ready` in which all these checks are required."""
    found = {name: {"status": status, "required": True} for name, status in checks.items()}
    return json.dumps({"status": "unready", "checks": found})


def test_nothing_is_accepted_before_the_gate(serve: Serve, tmp_path: Path) -> None:
    """Workers wait until `/ready` is 200; only then do they accept, and systemd hears of it."""
    unready = tmp_path / "unready"
    unready.write_text(answer(queue="down"))
    server = serve(READY_GATE_SECONDS="60", HEARTBEAT_SECONDS="60", PROBE_READY=str(unready))
    server.logged("probe: asked", 3)
    assert "Application startup complete" not in server.log()
    assert not server.systemd.count("READY=1")
    unready.unlink()
    server.systemd.heard("READY=1")
    assert server.get()[0] == 200


def test_a_run_that_never_gets_ready_ends(serve: Serve, tmp_path: Path) -> None:
    """Exit code 3 when the time is up, and the log says which check was down."""
    unready = tmp_path / "unready"
    unready.write_text(answer(queue="down", cache="up"))
    server = serve(READY_GATE_SECONDS="0.5", PROBE_READY=str(unready))
    assert server.ended() == 3
    assert "Not ready within 0.5 s, so no traffic is taken: down: queue" in server.log()
    assert "probe: shut down" in server.log()
    assert not server.systemd.count("READY=1")


def test_what_was_down_before_is_forgiven(serve: Serve, tmp_path: Path) -> None:
    """A fix can ship during an outage: the new run is no less ready than the old one."""
    unready = tmp_path / "unready"
    unready.write_text(answer(queue="down"))
    server = serve(
        READY_GATE_SECONDS="5", READY_GATE_FORGIVES="cache, queue", PROBE_READY=str(unready)
    )
    server.started()
    assert server.get()[0] == 200


def test_a_later_worker_does_not_wait(serve: Serve, tmp_path: Path) -> None:
    """The gate is for a first start: a worker replaced during an outage serves at once."""
    unready = tmp_path / "unready"
    server = serve(READY_GATE_SECONDS="60", PROBE_READY=str(unready)).started()
    unready.write_text(answer(queue="down"))
    kill(server.workers()[0])
    wait_until(lambda: len(server.workers()) > 1, "the replacement starts")
    server.started(2)
    assert server.log().count("probe: asked") == 1


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, "", None),
        (503, answer(queue="up", cache="down"), "down: cache"),
        (503, answer(queue="down"), None),
        (503, '{"status":"starting","checks":{}}', "/ready answers 503"),
        (503, '{"checks":{"a":{"status":"down","required":false}}}', "/ready answers 503"),
        (503, "[]", "/ready answers 503"),
        (404, "not found", "/ready answers 404"),
    ],
)
def test_what_is_refused(status: int, body: str, reason: str | None) -> None:
    """Every answer but a 200 is, unless all that is down is forgiven."""
    conditions = GateConditions.of({"READY_GATE_SECONDS": "1", "READY_GATE_FORGIVES": "queue"})
    assert conditions.refuses(status, body.encode()) == reason


def test_a_wrong_time_is_named() -> None:
    """As for every other variable."""
    with pytest.raises(BadVariable, match="READY_GATE_SECONDS='soon'"):
        GateConditions.of({"READY_GATE_SECONDS": "soon"})
