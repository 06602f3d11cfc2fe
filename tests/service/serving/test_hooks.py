"""The hooks that are called in the master."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from serving import hooks, shared_state
from serving.worker import DrainWorker


class Died(DrainWorker):
    """A worker whose process has written why it ended."""

    def __init__(self) -> None:
        """Without all that makes a worker."""
        self.age, self.pid = 1, 4711
        self.crash_report: Any = SimpleNamespace(read=lambda: "in block", close=lambda: None)


def test_who_ends_in_the_last_moment_of_a_stop_is_explained(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """gunicorn's stop looks for those that have ended ten times a second, and not at its end."""
    monkeypatch.setattr(shared_state, "stop", lambda: None)
    log = SimpleNamespace(error_log=logging.getLogger("test"), info=print)
    server = SimpleNamespace(
        WORKERS={4711: Died()}, stop=lambda: None, reap_workers=lambda: None, log=log
    )
    server.num_workers, server.cfg = 1, SimpleNamespace(timeout=30)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    hooks.when_ready(server)
    server.stop()
    (record,) = caplog.records
    assert record.exc_text == "in block"
    assert not server.WORKERS
