"""
A machine becomes a host by `deploy/setup`, and stays one however often that is run; what it cannot do it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.machine import Machine
from tests.support.processes import wait_until
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.rootfs import SUITES
from tests.support.variants import Variant, of
from tests.vm import other_edges
from tests.vm.edges import Edge, ask

# What a run of the service is to systemd, without the service: it says that it is ready, and answers with its process.
_STAND_IN = """
import os, socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "a client"

    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.timeout = 5
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
notify.send(b"READY=1")
while True:
    server.handle_request()
    notify.send(b"WATCHDOG=1")
"""


def service_variant(proxy: str, slug: str, **answers: str | int) -> Variant:
    return of(proxy=proxy, project_slug=slug, domain=f"{slug}.test", database="none", **answers)


#: One of each kind, and names that begin alike.
VARIANTS = {
    "nginx": service_variant("nginx", "shop"),
    "second": service_variant("nginx", "shop-two"),
    "caddy": service_variant("caddy", "post"),
    "traefik": service_variant("traefik", "wiki", port=8001),
    "none": service_variant("none", "blog", port=8002),
    "refused": service_variant("nginx", "refused"),
    "refused-caddy": service_variant("caddy", "refused"),
    "refused-port": service_variant("traefik", "refused", port=8003),
    "moved": service_variant("traefik", "shop", port=8003),
}
each_proxy = pytest.mark.parametrize("proxy", ["nginx", "caddy", "traefik", "none"])


@dataclass
class Service:
    """
    A service's `deploy/` on a machine, in root's folder.
    """

    machine: Machine
    project: Project

    @property
    def slug(self) -> str:
        return str(self.project.facts["project_slug"])

    @property
    def domain(self) -> str:
        return f"{self.slug}.test"

    @property
    def proxy(self) -> str:
        return str(self.project.variant.answers["proxy"])

    @property
    def folder(self) -> Path:
        return self.machine / f"root/{self.slug}"

    @property
    def unit(self) -> str:
        return f"{self.slug}@1.service"

    def setup(self, *words: str, check: bool = True) -> CompletedProcess[str]:
        """
        Send `deploy/` and run it there, as root.
        """
        __tracebackhide__ = True
        self.push()
        # With an address Caddy would ask an authority, and none is reached from there.
        email = () if self.proxy == "caddy" else (f"ops@{self.domain}",)
        given = words or ((self.domain, *email) if self.proxy != "none" else ())
        return self.machine.run("sh", "deploy/setup", *given, folder=f"/root/{self.slug}", check=check)

    def push(self) -> None:
        self.machine.push(self.project / "deploy", f"/root/{self.slug}/deploy", without=("__pycache__",))
        if self.proxy == "caddy":
            path = self.folder / "deploy/caddy/Caddyfile"
            path.write_text(path.read_text().replace("{\n", "{\n\tlocal_certs\n\tskip_install_trust\n", 1))

    def serve(self) -> None:
        """
        Start a run, as a deploy would have left it.
        """
        home = self.machine / f"opt/{self.slug}"
        release = home / "releases/first"
        (release / ".venv/bin").mkdir(parents=True)
        (release / ".venv/bin/python").symlink_to("/usr/bin/python3")
        (release / "gunicorn.py").write_text(_STAND_IN)
        (home / "runs/1/credentials").mkdir(parents=True)
        (home / "runs/1/release").symlink_to("../../releases/first")
        (home / "runs/1/environment").touch()
        pointer = self.machine / f"etc/systemd/system/{self.slug}.socket.d/run.conf"
        pointer.parent.mkdir()
        pointer.write_text(f"[Unit]\nWants={self.unit}\n[Socket]\nService={self.unit}\n")
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "start", f"{self.slug}.target")
        self.machine.wait_active(self.unit)

    def answer(self) -> str:
        """
        The answer to a client, through the proxy.
        """
        port = 443 if self.proxy != "none" else int(self.project.facts["port"])
        edge = Edge(self.proxy, port, encrypted=self.proxy != "none")
        return ask(edge.at(self), "/").body.decode()  # type: ignore[arg-type]

    def answers(self) -> bool:
        try:
            return self.answer().isdigit()
        except Exception:
            return False


@dataclass
class Ground:
    """
    A machine that is nobody's host yet, and the services that come onto it.
    """

    machine: Machine
    projects: Projects

    def service(self, name: str) -> Service:
        return Service(self.machine, self.projects.render(VARIANTS[name]))

    def host(self, name: str) -> Service:
        """
        A service that is set up and has a run, behind the one proxy that runs.
        """
        service = self.service(name)
        for other in {"nginx", "caddy", "traefik"} - {service.proxy}:
            self.machine.run("systemctl", "stop", other, check=False)
        if service.folder.exists():
            self.machine.run("systemctl", "start", service.proxy, check=service.proxy != "none")
        else:
            service.setup()
            service.serve()
        wait_until(service.answers, seconds=20, what=f"{service.slug} answers through {service.proxy}")
        return service

    def leftovers(self, *folders: str) -> set[str]:
        """
        Everything in /etc and /opt, or in some folders, to the time of its last change; and all users and groups.
        """
        words = ("find", *(folders or ("/etc", "/opt")), "-printf", r"%p %y %m %u %g %l %T@\n")
        return set(self.machine.run(*words).stdout.splitlines())

    def processes(self) -> set[str]:
        """
        All that runs of the proxies and of the services, a reload of nginx makes new ones.
        """
        rows = self.machine.run("ps", "-A", "-o", "pid=,args=").stdout.splitlines()
        return {
            row for row in rows if any(word in row for word in ("nginx", "caddy", "traefik", "responder", "gunicorn"))
        }


@pytest.fixture(scope="module", params=list(SUITES))
def ground(request: pytest.FixtureRequest, projects: Projects) -> Iterator[Ground]:
    """
    A machine without a service. The tests leave on it what they set up, each under a name of its own.
    """
    binds = {path: here for path, here in other_edges.binaries().items() if "traefik" in path}
    with Machine(request.param, binds=binds) as machine:
        yield Ground(machine, projects)


trixie = pytest.mark.parametrize("ground", ["trixie"], indirect=True, scope="module")


@each_proxy
def test_a_machine_becomes_a_host(ground: Ground, proxy: str) -> None:
    """
    With a user, directories, units and the proxy; the next boot starts the target and the proxy, and nothing else of it.
    """
    machine, slug = ground.machine, ground.service(proxy).slug
    # Left over, or made by hand so that people may read.
    if proxy == "none":
        machine.run("groupadd", "--system", slug)
    service = ground.host(proxy)
    assert f":/var/lib/{slug}:/usr/sbin/nologin" in machine.run("getent", "passwd", slug).stdout
    assert machine.run("id", "-gn", slug).stdout == f"{slug}\n"
    modes = machine.run("stat", "-c", "%n %a %U", f"/etc/{slug}/environment", f"/etc/{slug}/credentials").stdout
    assert modes.splitlines() == [f"/etc/{slug}/environment 600 root", f"/etc/{slug}/credentials 700 root"]
    assert machine.run(f"/opt/{slug}/release", "--help").stdout
    files = machine.run("systemctl", "list-unit-files", "--no-legend", f"{slug}[.@]*").stdout
    states = dict(line.split()[:2] for line in files.splitlines())
    assert states == {f"{slug}.socket": "static", f"{slug}@.service": "static", f"{slug}.target": "enabled"}
    if proxy != "none":
        assert machine.run("systemctl", "is-enabled", proxy).stdout == "enabled\n"
    run = machine.show(service.unit, "MainPID", "User")
    assert (service.answer(), slug) == (run["MainPID"], run["User"])


@each_proxy
def test_setting_up_again_disturbs_nothing(ground: Ground, proxy: str) -> None:
    """
    No file is written anew, nobody is stopped or reloaded; also with less words, as the first ones are remembered.
    """
    service = ground.host(proxy)
    before, processes = ground.leftovers(), ground.processes()
    assert processes
    service.setup()
    assert ground.leftovers() == before
    service.machine.run("sh", "deploy/setup", folder=f"/root/{service.slug}")
    assert ground.leftovers() == before
    assert ground.processes() == processes


@trixie
def test_what_an_operator_wrote_stays(ground: Ground) -> None:
    """
    The environment is made once, and never again.
    """
    service = ground.host("nginx")
    path = service.machine / f"etc/{service.slug}/environment"
    path.write_text("LOG_LEVEL=debug\n")
    service.setup()
    assert path.read_text() == "LOG_LEVEL=debug\n"


@pytest.mark.parametrize(
    ("proxy", "file", "there", "nonsense"),
    [
        ("nginx", "nginx/proxy.conf", "/etc/nginx/conf.d/zz.conf", "nonsense;"),
        ("caddy", "caddy/site.caddy", "/etc/caddy/conf.d/zz.caddy", "http://zz.test {\n\tnonsense\n}"),
        ("traefik", "traefik/site.yml", "/etc/traefik/dynamic/zz.yml", "nonsense: ["),
    ],
    ids=["nginx", "caddy", "traefik"],
)
def test_what_the_proxy_refuses_is_never_in_place(
    ground: Ground, proxy: str, file: str, there: str, nonsense: str
) -> None:
    """
    The files stay those that are served, and the proxy's own words say why; another one's fault is called that.
    """
    service = ground.host(proxy)
    before, processes = ground.leftovers(), ground.processes()
    service.push()
    path = service.folder / "deploy" / file
    text = path.read_text()
    path.write_text(f"{text}\n{nonsense}\n")
    done = service.machine.run("sh", "deploy/setup", folder=f"/root/{service.slug}", check=False)
    assert done.returncode == 1
    assert "refuses the new files" in done.stdout
    assert (ground.leftovers(), ground.processes()) == (before, processes)
    assert service.answers()

    path.write_text(text)
    other = service.machine / there
    other.write_text(f"{nonsense}\n")
    done = service.machine.run("sh", "deploy/setup", folder=f"/root/{service.slug}", check=False)
    other.unlink()
    assert done.returncode == 1
    assert "refuses what is there already" in done.stdout
    assert other.name in done.stdout
    assert {line for line in ground.leftovers() if line.split()[1] == "f"} == {
        line for line in before if line.split()[1] == "f"
    }


@trixie
def test_a_certificate_that_is_gone_keeps_nobody_from_setting_up(ground: Ground) -> None:
    """
    certbot has deleted what the links lead to: nginx would not start. A certificate that is there is left alone.
    """
    service = ground.host("nginx")
    tls = f"/etc/{service.slug}/tls"
    service.machine.run("sh", "-c", f"mkdir /etc/real && mv {tls}/*.pem /etc/real && ln -s /etc/real/*.pem {tls}")
    service.setup()
    assert service.machine.run("readlink", f"{tls}/fullchain.pem").stdout == "/etc/real/fullchain.pem\n"
    service.machine.run("rm", "-r", "/etc/real")
    service.setup()
    service.machine.run("nginx", "-t", "-q")
    assert service.answers()


@trixie
def test_a_second_service_whose_name_begins_alike(ground: Ground) -> None:
    """
    It has files, a user and a run of its own; the first one's are as they were.
    """
    first = ground.host("nginx")
    folders = (f"/etc/{first.slug}", f"/opt/{first.slug}")
    before, run = ground.leftovers(*folders), first.answer()
    second = ground.host("second")
    assert first.slug in second.slug
    assert second.answer() != first.answer() == run
    first.setup()
    second.setup()
    assert ground.leftovers(*folders) == before
    assert second.answer() != first.answer() == run


@dataclass(frozen=True)
class Refusal:
    """
    A fault of a machine, and its repair.
    """

    name: str
    said: str
    wrong: str = ":"
    right: str = ":"
    service: str = "refused"
    words: tuple[str, ...] = ("refused.test",)


REFUSALS = [
    Refusal("old-tool", "an earlier version", "install -D /dev/null /opt/refused/release.pyz", "rm -r /opt/refused"),
    Refusal(
        "old-systemd",
        "systemd 252 or later",
        "printf '#!/bin/sh\\necho systemd 249\\n' >/usr/local/bin/systemctl; chmod +x /usr/local/bin/systemctl",
        "rm /usr/local/bin/systemctl",
    ),
    Refusal(
        "hidden-python",
        "no Python 3.11",
        "p=$(readlink -f /usr/bin/python3); mv $p /root/python; ln -s /root/python $p",
        "p=$(find /usr/bin -lname /root/python); mv /root/python $p",
    ),
    Refusal("somebodys-user", "somebody else's", "useradd --home-dir /home/me refused", "userdel refused"),
    Refusal(
        "roots-user",
        "somebody else's",
        "useradd --non-unique --uid 0 --home-dir /var/lib/refused refused",
        "sed -i /^refused:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow",
    ),
    Refusal("example-domain", "your own domain", words=("api.example.com",)),
    Refusal("no-domain", "your own domain", words=("https://refused.test",)),
    Refusal("an-address", "your own domain", words=("192.0.2.1",)),
    Refusal("two-lines", "your own domain", words=("refused.test\nroot /;",)),
    Refusal("no-email", "e-mail", words=("refused.test", "me & you")),
    Refusal(
        "port-of-a-program",
        "port 8003 is taken",
        "systemd-run --unit=taker python3 -m http.server --bind 127.0.0.1 8003; "
        "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8003))'; do :; done",
        "systemctl stop taker",
        service="refused-port",
    ),
    Refusal(
        "port-of-a-service",
        "taker.socket",
        "printf '[Socket]\\nListenStream=127.0.0.1:8003\\n' >/etc/systemd/system/taker.socket",
        "rm /etc/systemd/system/taker.socket",
        service="refused-port",
    ),
    Refusal("open-elsewhere", "/run/shop.sock, not on 127.0.0.1:8003", service="moved", words=("shop.test",)),
]


@trixie
@pytest.mark.parametrize("refusal", [pytest.param(each, id=each.name) for each in REFUSALS])
def test_it_refuses_and_changes_nothing(ground: Ground, refusal: Refusal) -> None:
    """
    Each with words that say why.
    """
    if refusal.service == "moved":
        ground.host("nginx")
    service = ground.service(refusal.service)
    ground.machine.run("sh", "-c", refusal.wrong)
    try:
        before = ground.leftovers()
        done = service.setup(*refusal.words, check=False)
        assert ground.leftovers() == before
    finally:
        ground.machine.run("sh", "-c", refusal.right)
    assert done.returncode == 1, done.stdout
    assert refusal.said in done.stdout


#: A program that is no proxy, at a port; it listens when the command ends.
_TAKER = (
    "systemd-run --quiet --unit=taker python3 -m http.server {0}; "
    "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {0}))' 2>/dev/null; do :; done"
)


@trixie
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("port", [80, 443])
def test_nginx_is_not_installed_where_another_program_has_its_port(ground: Ground, port: int, running: bool) -> None:
    """
    It would go on with half of its ports, or not start any more. The program is named.
    """
    service = ground.service("refused")
    ground.machine.run("systemctl", "stop", "nginx", "caddy", "traefik", check=False)
    ground.machine.run(
        "sh", "-c", "mkdir -p /root/sites && mv /etc/nginx/conf.d/* /etc/nginx/sites-enabled/* /root/sites; :"
    )
    if running:
        ground.machine.run("systemctl", "start", "nginx")
    ground.machine.run("sh", "-c", _TAKER.format(port))
    try:
        before = ground.leftovers()
        done = service.setup(check=False)
        assert ground.leftovers() == before
    finally:
        ground.machine.run("systemctl", "stop", "taker")
        ground.machine.run(
            "sh", "-c", "mv /root/sites/*.conf /etc/nginx/conf.d; mv /root/sites/* /etc/nginx/sites-enabled; :"
        )
    assert done.returncode == 1, done.stdout
    assert "another program listens" in done.stdout
    assert '"python3"' in done.stdout


@trixie
def test_a_name_of_another_site_is_refused(ground: Ground) -> None:
    """
    nginx itself warns, and ignores one of the two. Not even a directory is left.
    """
    service = ground.service("refused")
    ground.machine.run("systemctl", "stop", "caddy", "traefik", check=False)
    other = ground.machine / "etc/nginx/sites-enabled/other"
    other.write_text(f"server {{\n\tlisten 80;\n\tserver_name {service.domain};\n}}\n")
    try:
        before = ground.leftovers()
        done = service.setup(check=False)
        assert ground.leftovers() == before
    finally:
        other.unlink()
    assert done.returncode == 1, done.stdout
    assert f"another site has the name {service.domain}" in done.stdout


@trixie
@pytest.mark.parametrize(
    ("name", "file", "nonsense"),
    [
        ("refused-caddy", "caddy/site.caddy", "http://zz.test {\n\tnonsense\n}"),
        ("refused-port", "traefik/site.yml", "nonsense: ["),
    ],
    ids=["caddy", "traefik"],
)
def test_a_first_setup_that_the_proxy_refuses_leaves_nothing(
    ground: Ground, name: str, file: str, nonsense: str
) -> None:
    """
    Not even a directory.
    """
    service = ground.service(name)
    service.push()
    path = service.folder / "deploy" / file
    path.write_text(f"{path.read_text()}\n{nonsense}\n")
    before = ground.leftovers()
    done = ground.machine.run("sh", "deploy/setup", service.domain, folder=f"/root/{service.slug}", check=False)
    assert ground.leftovers() == before
    assert done.returncode == 1, done.stdout
    assert "refuses the new files" in done.stdout


@trixie
def test_a_link_that_leads_nowhere_keeps_nobody_from_setting_up(ground: Ground) -> None:
    """
    A file that the proxy does not read. Of one that it reads, it says so itself.
    """
    service = ground.host("nginx")
    unread, read = (ground.machine / f"etc/nginx/{folder}/gone" for folder in ("sites-available", "sites-enabled"))
    try:
        unread.symlink_to("/srv/gone")
        assert service.setup(check=False).stdout.splitlines() == [f"{service.slug} is set up"]
        read.symlink_to("../sites-available/gone")
        done = service.setup(check=False)
    finally:
        unread.unlink()
        read.unlink(missing_ok=True)
    assert done.returncode == 1, done.stdout
    assert "nginx refuses what is there already" in done.stdout
    assert "/etc/nginx/sites-enabled/gone" in done.stdout


@trixie
@pytest.mark.parametrize(
    ("proxy", "file", "text"),
    [
        ("nginx", "nginx/site.conf", "server {\n\tlisten 8010;\n}\n"),
        ("caddy", "caddy/site.caddy", "http://zz.test:8010 {\n}\n"),
        ("traefik", "traefik/site.yml", "# New.\n"),
    ],
    ids=["nginx", "caddy", "traefik"],
)
def test_files_with_which_the_proxy_does_not_start_are_taken_back(
    ground: Ground, proxy: str, file: str, text: str
) -> None:
    """
    The next start of the proxy, for all the other sites, is not that of a service that is not set up.
    """
    service = ground.host(proxy)
    site = service.folder / "deploy" / file
    before = {line for line in ground.leftovers() if line.split()[1] == "f"}
    ground.machine.run("systemctl", "stop", proxy)
    # Traefik's ports are those of its own file.
    ground.machine.run("sh", "-c", _TAKER.format(443 if proxy == "traefik" else 8010))
    service.push()
    site.write_text(f"{site.read_text()}\n{text}")
    try:
        done = ground.machine.run("sh", "deploy/setup", folder=f"/root/{service.slug}", check=False)
        assert {line for line in ground.leftovers() if line.split()[1] == "f"} == before
    finally:
        ground.machine.run("systemctl", "stop", "taker")
        ground.machine.run("systemctl", "reset-failed", proxy, check=False)
    assert done.returncode == 1, done.stdout
    assert "does not start with the new files" in done.stdout
    ground.machine.run("systemctl", "start", proxy)
    wait_until(service.answers, seconds=20, what=f"{service.slug} answers through {proxy}")


@trixie
def test_it_is_for_root(ground: Ground) -> None:
    """
    Somebody else is told so at once.
    """
    service = ground.service("refused")
    ground.machine.push(service.project / "deploy", "/srv/deploy")
    done = ground.machine.run("sh", "deploy/setup", folder="/srv", user="www-data", check=False)
    assert done.returncode == 1
    assert "root" in done.stdout


def test_missing_packages_are_named(ground: Ground) -> None:
    """
    With the line that installs them; set-up installs nothing itself.
    """
    service = ground.service("refused")
    ground.machine.run("mv", "/usr/sbin/nginx", "/usr/sbin/nginx.away")
    try:
        before = ground.leftovers()
        done = service.setup("refused.test", check=False)
        assert ground.leftovers() == before
    finally:
        ground.machine.run("mv", "/usr/sbin/nginx.away", "/usr/sbin/nginx")
    assert done.returncode == 1
    assert "apt-get install nginx" in done.stdout
