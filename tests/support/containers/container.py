"""
A container of the engine.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.support import processes

if TYPE_CHECKING:
    from tests.support.containers.engine import Engine


class Container:
    """
    By its id. Who has made it removes it.
    """

    def __init__(self, engine: Engine, id: str) -> None:
        self.engine = engine
        self.id = id

    def inspect(self) -> dict[str, Any]:
        """
        All that the engine knows about it.
        """
        (found,) = json.loads(self.engine.docker("inspect", self.id).stdout)
        return dict(found)

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.inspect()["State"])

    @property
    def health(self) -> str:
        """
        The state by its HEALTHCHECK: starting, healthy, unhealthy.
        """
        return str(self.state["Health"]["Status"])

    @property
    def address(self) -> str:
        """
        Its address in the first of its networks.
        """
        networks = self.inspect()["NetworkSettings"]["Networks"]
        return str(next(network["IPAddress"] for network in networks.values() if network["IPAddress"]))

    def port(self, inside: int = 8000) -> int:
        """
        The port of 127.0.0.1 where one of its ports is published.
        """
        return int(self.inspect()["NetworkSettings"]["Ports"][f"{inside}/tcp"][0]["HostPort"])

    def logs(self) -> str:
        """
        Its output so far: standard output, then standard error.
        """
        done = self.engine.docker("logs", self.id, check=False)
        return done.stdout + done.stderr

    def wait(self, *, seconds: float = 60) -> int:
        """
        Wait for its end; the exit code.
        """
        __tracebackhide__ = True
        return int(self.engine.docker("wait", self.id, timeout=seconds).stdout)

    def wait_healthy(self, *, seconds: float = 60) -> None:
        """
        Wait until its HEALTHCHECK is content, unless it ends before.
        """
        __tracebackhide__ = True

        def is_healthy() -> bool:
            state = self.state
            assert state["Running"], f"it ended with {state['ExitCode']} before it was healthy\n{self.logs()}"
            return bool(state["Health"]["Status"] == "healthy")

        processes.wait_until(is_healthy, seconds=seconds, what=f"{self.id[:12]} is healthy")

    def signal(self, name: str = "TERM") -> None:
        """
        Send a signal to its first process.
        """
        self.engine.docker("kill", f"--signal={name}", self.id)

    def exec(
        self, *words: str, user: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command in it.
        """
        __tracebackhide__ = True
        become = [f"--user={user}"] if user else []
        return self.engine.docker("exec", *become, self.id, *words, check=check, timeout=timeout)
