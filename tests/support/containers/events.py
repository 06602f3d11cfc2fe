"""
The events of containers, in the engine's order.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Self

from tests.support import processes

if TYPE_CHECKING:
    from tests.support.containers.engine import Engine

#: The engine remembers few that are past, and a health check is three of them; so they are followed.
KINDS = ("start", "health_status", "connect", "disconnect", "die")


class Events:
    """
    Follow them as long as the block lasts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._written = self._closing.enter_context(tempfile.TemporaryFile("w+"))
        wanted = [f"--filter=event={kind}" for kind in KINDS]
        since = f"--since={time.time():.3f}"
        self._process = subprocess.Popen(
            ["docker", "events", since, "--format={{json .}}", *wanted],
            env=self._engine.environment,
            stdout=self._written,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        processes.kill_group(self._process.pid)
        self._process.wait()
        self._closing.close()

    def of(self, container: str) -> list[str]:
        """
        The events of a container so far: `start`, `health_status: healthy`, `connect NETWORK`.
        """
        self._written.seek(0)
        found = []
        for line in self._written:
            if not line.endswith("\n"):
                break
            event = json.loads(line)
            about = event["Actor"]
            if event["Type"] == "network" and about["Attributes"].get("container") == container:
                found.append(f"{event['Action']} {about['Attributes']['name']}")
            elif event["Type"] == "container" and about["ID"] == container:
                found.append(event["Action"])
        return found
