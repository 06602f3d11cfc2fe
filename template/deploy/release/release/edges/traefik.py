"""Traefik: the files of the host, those of each service, and a helper for what Traefik lacks."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from release.edges import Edge, Site, Step

# The oldest that the files were run with: routers below routers, retries by status, alias headers.
OLDEST = (3, 7, 15)
# Where the helper listens: as far from the service's port as this.
RESPONDER_OFFSET = 10_000
UNIT = "traefik.service"
# Where a package would have put its own unit.
PACKAGED = ("lib", "usr/lib")
# What an existing configuration of the host has to say, for the services behind it.
DIRECTORY = "providers.file.directory"
NEEDED = {
    "entryPoints.web.address": ":80",
    "entryPoints.websecure.address": ":443",
    DIRECTORY: "/etc/traefik/dynamic",
    "certificatesResolvers.letsencrypt.acme.storage": "/var/lib/traefik/acme.json",
}
TRUSTED = "entryPoints.websecure.forwardedHeaders.trustedIPs"

DROP_IN = """\
# {slug}: its helper starts with Traefik.
[Unit]
Wants={slug}-responder.service
"""


class Traefik:
    """One Traefik per host: it reads files per service, and notices by itself when one changes."""

    name = "traefik"

    def __init__(self) -> None:
        """Begin without a service."""
        # Of the site whose files were asked for: the commands below are about its helper.
        self.slug = ""

    def requirements(self, site: Site) -> list[str]:
        """Ask for the program, recent enough, and for a configuration of the host that fits."""
        program = shutil.which("traefik")
        if program is None:
            return [
                "traefik is not installed: put the program of "
                "https://github.com/traefik/traefik/releases into /usr/local/bin"
            ]
        problems = []
        found = version(program)
        if found is None or found < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            problems.append(f"{program} is too old: at least {oldest} is needed")
        main = Path(f"{site.root}/etc/traefik/traefik.yml")
        if main.exists():
            problems += lacking(main, site)
        return problems

    def files(self, site: Site) -> dict[str, str]:
        """Return the service's routers, and its helper with the unit that runs it."""
        self.slug = site.slug
        dynamic, units = _dynamic(site), f"{site.root}/etc/systemd/system"
        texts = {
            f"{dynamic}.yml": _fill(site, "site.yml"),
            f"{site.root}/opt/{site.slug}/responder.py": _fill(site, "responder.py"),
            f"{units}/{site.slug}-responder.service": _fill(site, "responder.service"),
            f"{units}/{UNIT}.d/{site.slug}.conf": DROP_IN.format(slug=site.slug),
        }
        if (site.source / "traefik/trusted.yml").exists():
            texts[f"{dynamic}+trusted.yml"] = _fill(site, "trusted.yml")
        if Path(f"{dynamic}+maintenance.yml").exists():
            texts[f"{dynamic}+maintenance.yml"] = _fill(site, "maintenance.yml")
        return texts

    def keep(self, site: Site) -> dict[str, str]:
        """Return what belongs to the host or to the user: Traefik's own files, and additions."""
        etc = f"{site.root}/etc"
        texts = {
            f"{etc}/traefik/traefik.yml": _fill(site, "traefik.yml"),
            f"{etc}/traefik/dynamic/host.yml": _fill(site, "host.yml"),
            f"{_dynamic(site)}+local.yml": _fill(site, "local.yml"),
        }
        if not any(Path(f"{site.root}/{lib}/systemd/system/{UNIT}").exists() for lib in PACKAGED):
            texts[f"{etc}/systemd/system/{UNIT}"] = _fill(site, UNIT)
        return texts

    def check(self) -> list[str] | None:
        """Have a second Traefik, on ports of its own, read the files and name their faults."""
        return ["sh", "-c", CHECK]

    def reload(self) -> list[str] | None:
        """Start what is new, stop what is gone; Traefik itself has read its files already."""
        helper = shlex.quote(f"{self.slug}-responder.service")
        unit = f"/etc/systemd/system/{helper}"
        return [
            "sh",
            "-c",
            "set -e; systemctl daemon-reload; "
            f"if [ -e {unit} ]; then systemctl enable --quiet --now {UNIT}; "
            f"systemctl restart {helper}; else systemctl stop {helper}; fi",
        ]

    def tls(self, site: Site, options: argparse.Namespace) -> list[Step]:
        """Traefik does it."""
        return [
            Step(
                f"Traefik gets and renews the certificate by itself, once {site.domain} points "
                "here and port 80 is open; what it says: journalctl -u traefik"
            )
        ]

    def maintenance(self, site: Site, on: bool) -> None:
        """Add or take away the router that answers everything."""
        path = Path(f"{_dynamic(site)}+maintenance.yml")
        if not on:
            path.unlink(missing_ok=True)
            return
        # Whole or not at all: Traefik reads it the moment it appears.
        partial = path.with_suffix(".partial")
        partial.write_text(_fill(site, "maintenance.yml"), encoding="utf-8")
        partial.replace(path)

    def advice(self, site: Site) -> list[str]:
        """Say how the name and the certificate come about."""
        return [
            f"DNS: point {site.domain} to this machine (A, and AAAA when it has IPv6); "
            "ports 80 and 443 have to be open",
            "TLS: Traefik gets the certificate within a minute after that, and renews it",
        ]

    def leave(self, site: Site) -> list[list[str]]:
        """Nothing goes on."""
        return []


# It has no resolver, so it asks for no certificate; it ends by the time-out. What it says of errors
# is the verdict.
CHECK = """\
folder=$(mktemp -d) && trap 'rm -r "$folder"' EXIT
cat >"$folder/check.yml" <<END
entryPoints:
  web: {address: "127.0.0.1:0"}
  websecure: {address: "127.0.0.1:0"}
providers:
  file: {directory: /etc/traefik/dynamic}
log: {level: ERROR, noColor: true}
END
said=$(timeout 2 traefik --configFile="$folder/check.yml" 2>&1 |
  grep -v 'nonexistent certificate resolver')
[ -z "$said" ] || { echo "$said"; exit 1; }"""


def lacking(path: Path, site: Site) -> list[str]:
    """Compare a configuration that is there already with what the service needs."""
    has = settings(path.read_text(encoding="utf-8"))
    problems = [
        f"{path} has no {name} ({value!r} would do)"
        for name, value in NEEDED.items()
        if name not in has
    ]
    if has.get(DIRECTORY, NEEDED[DIRECTORY]).rstrip("/") != NEEDED[DIRECTORY]:
        problems.append(f"{path} reads {has[DIRECTORY]}; {DIRECTORY} has to be {NEEDED[DIRECTORY]}")
    ours = settings(_fill(site, "traefik.yml")).get(TRUSTED, "")
    missing = [entry for entry in _entries(ours) if entry not in _entries(has.get(TRUSTED, ""))]
    if missing:
        problems.append(f"{path} does not name {', '.join(missing)} in {TRUSTED}")
    return problems


def settings(text: str) -> dict[str, str]:
    """Read the block style of YAML, as far as this file needs it: `a.b.c` and its value."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = re.match(r"( *)([A-Za-z0-9_-]+):(?: +(.*?))? *(?: #.*)?$", line)
        item = re.match(r"( *)- +(.*?) *(?: #.*)?$", line)
        if match:
            depth = len(match[1])
            above = [(column, name) for column, name in above if column < depth]
            above.append((depth, match[2]))
            found[".".join(name for _, name in above)] = (match[3] or "").strip("'\"")
        elif item and above:
            name = ".".join(name for _, name in above)
            found[name] = f"{found[name]}, {item[2]}"
    return found


def version(program: str) -> tuple[int, ...] | None:
    """Return the version of a Traefik."""
    try:
        done = subprocess.run([program, "version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r"^Version: +v?(\d+)\.(\d+)\.(\d+)", done.stdout, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else None


def _entries(value: str) -> list[str]:
    return [entry for part in value.strip("[]").split(",") if (entry := part.strip(" '\""))]


def _dynamic(site: Site) -> str:
    """
    Where the files of this service begin; what follows its name begins with `.` or `+`.

    No name of another service holds those, and `+` is read before `.`: the first definition counts.
    """
    return f"{site.root}/etc/traefik/dynamic/{site.slug}"


def _fill(site: Site, name: str) -> str:
    offset = RESPONDER_OFFSET if site.port + RESPONDER_OFFSET < 65_536 else -RESPONDER_OFFSET
    text = site.rendered(f"traefik/{name}").replace("__RESPONDER__", str(site.port + offset))
    return text.replace("__TRAEFIK__", shutil.which("traefik") or "/usr/local/bin/traefik")


EDGE: Edge = Traefik()
