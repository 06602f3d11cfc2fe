"""The proxies that can stand in front: one module each, all of one shape."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from release import say


@dataclass(frozen=True)
class Site:
    """The service as the proxy sees it."""

    slug: str
    domain: str
    email: str
    port: int
    source: Path
    """The rendered `deploy/` directory."""
    root: str = ""
    """A prefix of every path, for tests."""
    listen: str = ""
    """An address beside loopback, where there is no proxy here."""

    def fill(self, text: str) -> str:
        """Replace the placeholders of a rendered file by what this host was told."""
        return (
            text.replace("__DOMAIN__", self.domain)
            .replace("__EMAIL__", self.email)
            .replace("__PORT__", str(self.port))
        )

    def rendered(self, name: str) -> str:
        """Read a file of `deploy/`, with its placeholders filled in."""
        return self.fill((self.source / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Step:
    """One step towards a certificate: a line for people, and the command that takes it."""

    text: str
    command: list[str] | None = None
    """None: there is nothing to run, the line says what to do."""


class Edge(Protocol):
    """What a proxy has to be able to do."""

    name: str

    def requirements(self, site: Site) -> list[str]:
        """Say what is missing on this host, in words that say what to do."""

    def files(self, site: Site) -> dict[str, str]:
        """Return absolute paths and texts, complete, fit for the version that is installed."""

    def keep(self, site: Site) -> dict[str, str]:
        """Return the same of files that are written only where they do not exist: the user's."""

    def check(self) -> list[str] | None:
        """Return the command that judges the configuration, None where nothing does."""

    def reload(self) -> list[str] | None:
        """Return the command that makes the proxy read its configuration."""

    def tls(self, site: Site, options: argparse.Namespace) -> list[Step]:
        """Return the steps towards a certificate."""

    def maintenance(self, site: Site, on: bool) -> None:
        """Do what it takes beyond the file `/etc/<slug>/maintenance`."""

    def advice(self, site: Site) -> list[str]:
        """Say what is left to do about names and certificates."""

    def leave(self, site: Site) -> list[list[str]]:
        """Return the commands that end what would go on without the files."""


def load(name: str) -> Edge:
    """Return a proxy by the name it has in the answers."""
    try:
        module = importlib.import_module(f"release.edges.{name}")
    except ModuleNotFoundError:
        raise say.Problem(f"this project has no files for the proxy {name}") from None
    edge: Edge = module.EDGE
    return edge
