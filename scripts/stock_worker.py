"""
The worker that deployment guides name, for comparison. It runs inside a rendered service: see `scripts/prove.py`.
"""

from __future__ import annotations

from typing import Any

from uvicorn_worker import UvicornWorker  # type: ignore[import-not-found]

from serving import board, notify  # type: ignore[import-not-found]
from serving.front import Announced  # type: ignore[import-not-found]


class StockWorker(UvicornWorker):  # type: ignore[misc]
    """
    `uvicorn_worker.UvicornWorker`, and one thing that it cannot do: to say when it has started, because a proof waits for it.
    """

    def run(self) -> None:
        self.wsgi: Any = Announced(self.wsgi, self._started)
        super().run()

    def _started(self) -> None:
        board.enter(self.age)
        if board.serving() >= self.cfg.workers:
            notify.send("READY=1")
