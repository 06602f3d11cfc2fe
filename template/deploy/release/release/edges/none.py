"""No proxy of ours: a load balancer of the cloud, or another host, stands in front."""

from __future__ import annotations

import argparse

from release import say
from release.edges import Edge, Site, Step


class NoEdge:
    """Nothing to install."""

    name = "none"

    def requirements(self, site: Site) -> list[str]:
        """Nothing is needed."""
        return []

    def files(self, site: Site) -> dict[str, str]:
        """Nothing is written."""
        return {}

    def keep(self, site: Site) -> dict[str, str]:
        """Nothing is the user's."""
        return {}

    def check(self) -> list[str] | None:
        """There is nothing to judge."""
        return None

    def reload(self) -> list[str] | None:
        """There is nothing to reload."""
        return None

    def tls(self, site: Site, options: argparse.Namespace) -> list[Step]:
        """Certificates live where the encryption ends."""
        return [Step("the load balancer in front holds the certificate; there is none here")]

    def maintenance(self, site: Site, on: bool) -> None:
        """The load balancer in front has to be told."""

    def advice(self, site: Site) -> list[str]:
        """Say where to send traffic."""
        text = f"Send traffic to port {site.port}, and probes to /ready; it listens on "
        if site.listen:
            return [f"{text}{site.listen}"]
        return [
            f"{text}loopback only, unless setup is told another address: "
            f"{say.TOOL} setup --listen 10.0.0.5"
        ]

    def leave(self, site: Site) -> list[list[str]]:
        """Nothing goes on."""
        return []


EDGE: Edge = NoEdge()
