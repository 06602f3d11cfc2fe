"""
More edges beside the service's own proxy, in front of the same socket: each as its own rendering has it, on other ports.
"""

from __future__ import annotations

import json
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

#: Run in a rendered project: the files that its proxy needs, absolute path → text.
_FILES = """
import json, sys
from pathlib import Path
sys.path.insert(0, "deploy/release")
from release.edges import Site, load
name, slug, domain = sys.argv[1:]
edge = load(name)
site = Site(slug, domain, "", 8000, Path("deploy").resolve())
assert not edge.requirements(site), edge.requirements(site)
print(json.dumps({**edge.keep(site), **edge.files(site)}))
"""


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
    for path, text in files(host, "caddy", project).items():
        if path == "/etc/caddy/Caddyfile":
            ports = f"\thttp_port 8080\n\thttps_port {CADDY.port}\n\tlocal_certs\n\tskip_install_trust\n"
            text = replaced(text, r"\A((?:#.*\n)*)\{\n", rf"\1{{\n{ports}")
            text = replaced(text, r"^:443 \{", f":{CADDY.port} {{")
        write(host, path, text)
    # The socket is nginx's.
    host.machine.run("usermod", "--append", "--groups", "www-data", "caddy")
    host.machine.run("systemctl", "enable", "--now", "caddy")


def start_traefik(host: Host, project: Project) -> None:
    """
    Traefik, with its self-signed certificate.
    """
    for path, text in files(host, "traefik", project).items():
        if path == "/etc/traefik/traefik.yml":
            text = replaced(text, r'":80"', '":9080"')
            text = replaced(text, r'":443"', f'":{TRAEFIK.port}"')
        write(host, path, text)
    host.machine.run("systemctl", "daemon-reload")
    host.machine.run("systemctl", "enable", "--now", "traefik")


def files(host: Host, name: str, project: Project) -> Mapping[str, str]:
    """
    What the release tool of another rendering would write for its proxy on this machine.
    """
    folder = f"/root/{name}"
    for part in ("release", name):
        host.machine.push(project / "deploy" / part, f"{folder}/deploy/{part}", without=("__pycache__",))
    out = host.machine.run("python3", "-B", "-c", _FILES, name, host.slug, host.domain, folder=folder).stdout
    found: Mapping[str, str] = json.loads(out)
    return found


def write(host: Host, path: str, text: str) -> None:
    place = host.machine / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def replaced(text: str, pattern: str, new: str) -> str:
    """
    The text with the one place that matches replaced.
    """
    text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
    assert count == 1, f"{pattern!r} is there {count} times"
    return text
