"""Where everything lies on the host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The places of one service. `root` is a prefix, for tests."""

    slug: str
    root: Path = Path("/")

    @property
    def home(self) -> Path:
        """Everything that is installed."""
        return self.root / "opt" / self.slug

    @property
    def releases(self) -> Path:
        """One directory per release; one that is still being made ends in `.partial`."""
        return self.home / "releases"

    @property
    def runs(self) -> Path:
        """One directory per run: its release, its environment, its credentials."""
        return self.home / "runs"

    @property
    def static(self) -> Path:
        """What the proxy serves under `/static/`: of all releases that are kept."""
        return self.home / "static"

    @property
    def python(self) -> Path:
        """Interpreters that had to be installed for the service."""
        return self.home / "python"

    @property
    def host(self) -> Path:
        """What `setup` was told."""
        return self.home / "host.json"

    @property
    def tool(self) -> Path:
        """The release tool itself."""
        return self.home / "release.pyz"

    @property
    def lock(self) -> Path:
        """Held by the one command that changes something."""
        return self.home / "lock"

    @property
    def etc(self) -> Path:
        """What the operator configures."""
        return self.root / "etc" / self.slug

    @property
    def environment(self) -> Path:
        """Variables that are no secrets; every run takes a copy."""
        return self.etc / "environment"

    @property
    def credentials(self) -> Path:
        """One secret per file; every run takes a copy."""
        return self.etc / "credentials"

    @property
    def maintenance(self) -> Path:
        """While this file exists, the proxy answers instead of the service."""
        return self.etc / "maintenance"

    @property
    def tls(self) -> Path:
        """Certificate and key for the proxy that needs to be given them."""
        return self.etc / "tls"

    @property
    def units(self) -> Path:
        """Where units and their drop-ins are installed."""
        return self.root / "etc" / "systemd" / "system"

    @property
    def gate(self) -> Path:
        """In memory: what a run has to wait for while a deploy starts it."""
        return self.root / "run" / f"{self.slug}.gate"

    @property
    def state(self) -> Path:
        """What the service itself may write."""
        return self.root / "var" / "lib" / self.slug

    def unit(self, name: str) -> Path:
        """The file of a unit."""
        return self.units / name

    def drop_in(self, unit: str, name: str) -> Path:
        """A file that changes a unit."""
        return self.units / f"{unit}.d" / name
