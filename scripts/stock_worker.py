"""
The worker that deployment guides name, for comparison. It runs inside a rendered service: see `scripts/prove.py`.
"""

from __future__ import annotations

from typing import Any

from uvicorn_worker import UvicornWorker  # type: ignore[import-not-found]

from serving import shared_state, systemd  # type: ignore[import-not-found]
from serving.readiness import StartupListener  # type: ignore[import-not-found]


class StockWorker(UvicornWorker):  # type: ignore[misc]
    """
    `uvicorn_worker.UvicornWorker`, and one thing that it cannot do: to say when it has started, because a proof waits for it.
    """

    def run(self) -> None:
        self.wsgi: Any = StartupListener(self.wsgi, self._started)
        super().run()

    def _started(self) -> None:
        shared_state.enter(self.age)
        if shared_state.serving() >= self.cfg.workers:
            systemd.notify("READY=1")
