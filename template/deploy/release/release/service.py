"""What the project says of itself: `service.json`, the one rendered file of the tool."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Where the tool lies: `deploy/release` of a project, or one file when it is a zipapp.
HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Service:
    """The answers and numbers that the tool needs."""

    slug: str
    domain: str
    proxy: str
    socket_path: str
    """The unix socket; empty when it is a TCP port on loopback."""
    socket_group: str
    port: int
    request_seconds: int
    stop_seconds: int
    python_minimum: str

    @classmethod
    def load(cls) -> Service:
        """Read the file that lies beside the tool."""
        return cls.parse(json.loads(read("service.json")))

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Service:
        """Take the object of the file apart."""
        socket = values["socket"]
        return cls(
            slug=values["slug"],
            domain=values["domain"],
            proxy=values["proxy"],
            socket_path=socket["path"],
            socket_group=socket["group"],
            port=socket["port"],
            request_seconds=values["request_seconds"],
            stop_seconds=values["stop_seconds"],
            python_minimum=values["python_minimum"],
        )


def read(name: str) -> bytes:
    """Read a file of the tool's own directory."""
    if HERE.is_file():
        with zipfile.ZipFile(HERE) as archive:
            return archive.read(name)
    return (HERE / name).read_bytes()
