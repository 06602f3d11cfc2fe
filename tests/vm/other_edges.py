"""
More edges beside the service's own proxy, in front of the same socket: each as its own rendering has it, on other ports.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from tests.support.project import Project
from tests.vm.edges import CADDY, DIRECT, NGINX, TRAEFIK, Edge
from tests.vm.host import Host


def binaries() -> Mapping[str, Path]:
    """
    Programs that Debian does not have, or not so new: path in the machine → path here. Skips, naming what is missing.
    """
    found = {name: shutil.which(name, path=Path(sys.executable).parent) for name in ("caddy", "traefik")}
    if absent := [name for name, path in found.items() if path is None]:
        pytest.skip(f"{', '.join(absent)} missing beside {sys.executable}")
    paths = {name: Path(str(path)).resolve() for name, path in found.items()}
    return {"usr/bin/caddy": paths["caddy"], "usr/local/bin/traefik": paths["traefik"]}


def furnish(host: Host, caddy: Project, traefik: Project) -> tuple[Edge, ...]:
    """
    Let the socket listen on loopback as well, and start the other proxies.
    """
    listen_on_loopback(host)
    start_caddy(host, caddy)
    start_traefik(host, traefik)
    edges = (DIRECT, NGINX, CADDY, TRAEFIK)
    for edge in edges:
        wait_until(lambda: host.ready_status(edge) == 200, seconds=30, what=f"{edge.name} answers")  # noqa: B023
    return edges


def listen_on_loopback(host: Host) -> None:
    """
    Give the socket a port besides its path. systemd takes it only while nobody uses the socket.
    """
    drop_in = host.machine / f"etc/systemd/system/{host.slug}.socket.d/loopback.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Socket]\nListenStream=127.0.0.1:{DIRECT.port}\n")
    host.machine.run("systemctl", "daemon-reload")
    host.machine.run("systemctl", "stop", f"{host.slug}.target", f"{host.slug}.socket")
    host.machine.run("systemctl", "start", f"{host.slug}.target")
    host.wait_ready()


def start_caddy(host: Host, project: Project) -> None:
    """
    Caddy, with certificates of its own making.
    """
    folder = push(host, project, "caddy")
    ports = f"\thttp_port 8080\n\thttps_port {CADDY.port}\n\tlocal_certs\n\tskip_install_trust\n"
    edit(folder / "Caddyfile", {r"\A((?:#.*\n)*)\{\n": rf"\1{{\n{ports}", r"^:443 \{": f":{CADDY.port} {{"})
    # The socket is nginx's.
    host.machine.run("usermod", "--append", "--groups", "www-data", "caddy")
    host.machine.run("sh", "/root/caddy/install", host.domain)


def start_traefik(host: Host, project: Project) -> None:
    """
    Traefik, with its self-signed certificate.
    """
    folder = push(host, project, "traefik")
    edit(folder / "traefik.yml", {r'":80"': '":9080"', r'":443"': f'":{TRAEFIK.port}"'})
    host.machine.run("sh", "/root/traefik/install", host.domain)


def push(host: Host, project: Project, proxy: str) -> Path:
    """
    Give root another rendering's files of a proxy; the folder, from here.
    """
    host.machine.push(project / "deploy" / proxy, f"/root/{proxy}")
    return host.machine / f"root/{proxy}"


def edit(path: Path, replacements: Mapping[str, str]) -> None:
    """
    Replace what has to be different here: each pattern is there once.
    """
    text = path.read_text()
    for pattern, new in replacements.items():
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        assert count == 1, f"{pattern!r} is there {count} times"
    path.write_text(text)
