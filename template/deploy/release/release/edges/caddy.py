"""Caddy: certificates by itself, one file per service, one for the host."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

from release.edges import Edge, Site, Step

CADDYFILE = "/etc/caddy/Caddyfile"
IMPORT = "import /etc/caddy/conf.d/*.caddy"
# The first version that has `request_buffers`; the one of Debian 12 and 13 calls it differently.
RENAMED_BUFFERS = (2, 7)

LOCAL = """\
# Additions to the site of {slug}: Caddy's directives, in their order, before all others. Set-up
# never changes this file. Afterwards: systemctl reload caddy
"""


class Caddy:
    """The Caddy of the distribution, or a newer one."""

    name = "caddy"

    def requirements(self, site: Site) -> list[str]:
        """Want Caddy itself, and the lines that one file of the host has for all its services."""
        if not shutil.which("caddy"):
            return ["Caddy is not installed: apt-get install caddy"]
        host = Path(f"{site.root}{CADDYFILE}")
        if not host.exists() or IMPORT in host.read_text(encoding="utf-8") or is_example(host):
            return []
        return [
            f"{CADDYFILE} is not the package's example any more, so it is left alone: add "
            f'"{IMPORT}" at its end, and at its beginning the global options of '
            f"{site.source / 'caddy' / 'Caddyfile'}"
        ]

    def files(self, site: Site) -> dict[str, str]:
        """Return the site; and the file of the host, where that is still the package's example."""
        text = site.rendered("caddy/site.caddy")
        if not site.email:
            text = re.sub(r"^\ttls +\n", "", text, flags=re.MULTILINE)
        if version() < RENAMED_BUFFERS:
            text = re.sub(
                r"^(\t+)request_buffers (\d+)$",
                r"\1buffer_requests\n\1max_buffer_size \2",
                text,
                flags=re.MULTILINE,
            )
        upstreams = site.rendered("caddy/upstreams.caddy")
        files = {
            f"/etc/caddy/conf.d/{site.slug}.caddy": text,
            f"/etc/caddy/snippets/{site.slug}-upstreams.caddy": upstreams,
        }
        host = Path(f"{site.root}{CADDYFILE}")
        if not host.exists() or is_example(host):
            files[CADDYFILE] = site.rendered("caddy/Caddyfile")
        return files

    def keep(self, site: Site) -> dict[str, str]:
        """Return what the operator may fill in."""
        return {f"/etc/{site.slug}/caddy.d/local.caddy": LOCAL.format(slug=site.slug)}

    def check(self) -> list[str] | None:
        """Let Caddy judge, as the user it runs as: judging opens the logs, and makes them."""
        judge = ["caddy", "validate", "--config", CADDYFILE, "--adapter", "caddyfile"]
        return ["runuser", "-u", "caddy", "--", "env", "HOME=/var/lib/caddy", *judge]

    def reload(self) -> list[str] | None:
        """Read the files again; what is at work is finished."""
        return ["systemctl", "reload-or-restart", "caddy"]

    def tls(self, site: Site, options: argparse.Namespace) -> list[Step]:
        """Nothing is to be done: Caddy asks for certificates when it has read the site."""
        return [
            Step(
                f"Caddy gets and renews the certificate of {site.domain} by itself, as soon as "
                "the name leads here and ports 80 and 443 are open; journalctl -u caddy tells "
                "how it went"
            )
        ]

    def maintenance(self, site: Site, on: bool) -> None:
        """Caddy looks at the file itself."""

    def advice(self, site: Site) -> list[str]:
        """Say what makes the certificate come."""
        return [
            f"Let {site.domain} lead to this machine (A and AAAA), and open ports 80 and 443: "
            "Caddy then gets the certificate by itself",
        ]

    def leave(self, site: Site) -> list[list[str]]:
        """Nothing goes on."""
        return []


def is_example(host: Path) -> bool:
    """Tell whether nobody has changed the file that came with the package."""
    lines = (line.split("#")[0].strip() for line in host.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line] == [
        ":80 {",
        "root * /usr/share/caddy",
        "file_server",
        "}",
    ]


def version() -> tuple[int, ...]:
    """Ask Caddy which one it is; nothing installed is as good as the newest."""
    if not shutil.which("caddy"):
        return (99,)
    said = subprocess.run(["caddy", "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else (99,)


EDGE: Edge = Caddy()
