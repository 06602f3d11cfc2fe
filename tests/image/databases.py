"""
A PostgreSQL beside the containers of a test, to be stopped and started at will.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.containers.container import Container
from tests.support.containers.engine import Engine
from tests.support.processes import wait_until

IMAGE = "postgres:17"


@dataclass(frozen=True)
class Database:
    """
    A server, in a network of its own.
    """

    container: Container
    network: str

    @property
    def options(self) -> list[str]:
        """
        The options of `docker run` for a service that uses it.
        """
        return [f"--network={self.network}", "--env=DATABASE_URL=postgresql://postgres:typed@database/postgres"]

    def stop(self) -> None:
        """
        Take it away: nobody listens any more.
        """
        self.container.engine.docker("kill", self.container.id)

    def start(self) -> None:
        self.container.engine.docker("start", self.container.id)
        self.wait()

    def wait(self) -> None:
        """
        Wait until it takes connections; while it sets itself up it listens on a socket only.
        """
        words = ("pg_isready", "--quiet", "--host=127.0.0.1", "--username=postgres")
        wait_until(lambda: self.container.exec(*words, check=False).returncode == 0, seconds=60, what="PostgreSQL")


@contextlib.contextmanager
def database(engine: Engine) -> Iterator[Database]:
    """
    Start one.
    """
    engine.provide(IMAGE)
    network = f"image-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    engine.docker("network", "create", network)
    try:
        options = [f"--network={network}", "--network-alias=database", "--env=POSTGRES_PASSWORD=typed"]
        with engine.container(IMAGE, *options, command=["postgres", "-c", "fsync=off"]) as container:
            server = Database(container, network)
            server.wait()
            yield server
    finally:
        engine.docker("network", "rm", network, check=False)
