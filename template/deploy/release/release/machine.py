"""This machine as the tool sees it: the service, its places, and the means to change them."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from release import say
from release.edges import Edge, Site, load
from release.host import Host
from release.paths import Paths
from release.service import HERE, Service
from release.shell import Shell
from release.systemd import Systemd


@dataclass(frozen=True)
class Machine:
    """What every verb needs."""

    service: Service
    paths: Paths
    shell: Shell
    systemd: Systemd

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Machine:
        """Build it from the command line."""
        shell = Shell(dry=arguments.dry_run)
        service = Service.load()
        return cls(service, Paths(service.slug), shell, Systemd(shell))

    @cached_property
    def host(self) -> Host:
        """What `setup` remembers; a Problem where there was no setup."""
        host = Host.load(self.paths.host)
        if host is None:
            text = f"{self.slug} is not installed here; run setup first: {say.TOOL} setup"
            raise say.Problem(text)
        return host

    @property
    def slug(self) -> str:
        """The short name of the service: its user, and the beginning of its units' names."""
        return self.service.slug

    @property
    def socket(self) -> str:
        """The unit of the shared socket."""
        return f"{self.slug}.socket"

    @property
    def target(self) -> str:
        """The unit that stands for the whole service."""
        return f"{self.slug}.target"

    def unit(self, run: int) -> str:
        """The unit of a run."""
        return f"{self.slug}@{run}.service"

    def require_root(self) -> None:
        """Raise a Problem unless we may change the system; a dry run may be anybody's."""
        if os.geteuid() != 0 and not self.shell.dry:
            raise say.Problem("this changes the system; run it as root (sudo)")

    @property
    def edge(self) -> Edge:
        """The proxy in front."""
        return load(self.service.proxy)

    def site(self, host: Host | None = None) -> Site:
        """The service as the proxy sees it."""
        host = host or self.host
        return Site(
            slug=self.slug,
            domain=host.domain or self.service.domain,
            email=host.email,
            port=host.port or self.service.port,
            source=self.source,
            root="" if self.paths.root == Path("/") else str(self.paths.root),
            listen=host.listen,
        )

    @property
    def source(self) -> Path:
        """
        The rendered `deploy/` directory that this tool belongs to.

        The tool in one file does not carry it; it belongs to the newest release on this host.
        """
        if HERE.is_dir():
            return HERE.parent
        releases = sorted(
            path
            for path in self.paths.releases.glob("*")
            if path.suffix != ".partial" and (path / "deploy").is_dir()
        )
        if not releases:
            raise say.Problem("there is no release here to take units and proxy files from")
        return releases[-1] / "deploy"
