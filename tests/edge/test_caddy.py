"""
Caddy alone: its own checks, its certificates, its neighbours, the user's additions, and the limit that the application keeps
for it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.edge.conftest import Standing, standing_in_sandbox
from tests.edge.recorder import Recorder
from tests.edge.test_errors import is_problem
from tests.edge.test_limits import burst
from tests.support import variants
from tests.support.edges import Edge, edges, every
from tests.support.edges.caddy import AUTHORITY_ROOT, OTHER_DOMAIN
from tests.support.edges.client import Answer, Client
from tests.support.edges.edge import DOMAIN
from tests.support.processes import wait_until
from tests.support.projects import Projects
from tests.support.sandbox import Sandbox

each_caddy = pytest.mark.parametrize(
    "edge",
    [pytest.param(e, id=e.name, marks=pytest.mark.xdist_group(e.name)) for e in every() if e.proxy == "caddy"],
)


def only(edge: Edge) -> bool:
    return edge.proxy == "caddy"


@edges(where=only)
def test_files_are_formatted(standing: Standing) -> None:
    """
    As Caddy itself would write them, examples too.
    """
    folder = standing.project / "deploy/caddy"
    files = [folder / "Caddyfile", *folder.rglob("*.caddy")]
    assert len(files) == 7
    for path in files:
        formatted = standing.sandbox.run("caddy", "fmt", path, check=False, env={"HOME": "/root"}).stdout
        assert formatted == path.read_text(), path


@edges(where=only)
def test_the_certificate_is_an_authoritys(standing: Standing) -> None:
    """
    Asked for by ACME, for our name, and renewed without anybody: nothing but the address of the authority was changed here.
    """
    strict = ssl.create_default_context(cafile=str(standing.sandbox.path(AUTHORITY_ROOT)))
    client = standing.client()
    with (
        socket.create_connection(("127.0.0.1", 443), 5) as plain,
        strict.wrap_socket(plain, server_hostname=client.host) as encrypted,
    ):
        assert ("DNS", DOMAIN) in (encrypted.getpeercert() or {})["subjectAltName"]


@each_caddy
def test_the_certificate_comes_in_maintenance_and_without_a_service(edge: Edge, projects: Projects) -> None:
    """
    The challenge of the authority is answered before anything else.
    """
    with standing_in_sandbox(edge, projects.render(edge.variant)) as standing:
        standing.maintenance("on")
        edge.start(standing.sandbox)
        with standing.sandbox.inside():
            is_problem(standing.client().get("/"), 503, "unavailable", "/")


@edges(fixture="own", where=only)
def test_additions_are_part_of_the_site_and_survive(own: Standing) -> None:
    """
    The user's lines are kept by the next set-up, beside the files that it writes again.
    """
    own.sandbox.write(f"/etc/{own.slug}/caddy.d/local.caddy", "respond /mine 204\n")
    site = f"/etc/caddy/conf.d/{own.slug}.caddy"
    own.sandbox.write(site, own.sandbox.read(site) + "# an edit in the wrong place\n")
    own.edge.install(own.sandbox, own.project)
    own.edge.reload(own.sandbox)
    assert own.client().get("/mine").status == 204
    assert own.client().get("/mine").header("x-frame-options") == "DENY"
    assert "wrong place" not in own.sandbox.read(site)


@each_caddy
def test_two_services_share_one_caddy(edge: Edge, projects: Projects) -> None:
    """
    Each has its own name, certificate, upstream and log; nobody's name is nobody's site.
    """
    first = projects.render(edge.variant)
    answers = {**edge.variant.answers, "project_name": "Other", "project_slug": "other", "domain": OTHER_DOMAIN}
    second = projects.render(variants.of(**answers))
    with Sandbox(edge.root(), [first.path, second.path]) as sandbox:
        edge.install(sandbox, first)
        edge.install(sandbox, second, domain=OTHER_DOMAIN)
        edge.start(sandbox)
        with (
            sandbox.inside(),
            Recorder.on(sandbox, edge.address, "first"),
            Recorder.on(sandbox, "/run/other.sock", "second"),
        ):
            other = Client(host=OTHER_DOMAIN)
            wait_until(lambda: _answers(other), seconds=60, what="the second certificate was issued")
            assert Client().get("/first").body == b"first"
            assert other.get("/second").body == b"second"
            assert Client(scheme="http", host="nobody.test").get("/").status == 421
        lines = edge.access_log(sandbox)
        assert "/first" in lines
        assert "/second" not in lines


def _answers(client: Client) -> bool:
    with contextlib.suppress(OSError):
        return client.get("/").status == 200
    return False


@each_caddy
def test_an_edited_caddyfile_is_left_alone(edge: Edge, projects: Projects) -> None:
    """
    Set-up says which lines it wants, and is content when they are there.
    """
    project = projects.render(edge.variant)
    with Sandbox(edge.root(), [project.path]) as sandbox:
        edge.prepare(sandbox)
        mine = "{\n\tauto_https off\n}\n\nhttp://mine.test {\n\trespond mine\n}\n"
        sandbox.write("/etc/caddy/Caddyfile", mine)
        done = edge.put(sandbox, project, check=False)
        assert done.returncode == 1
        assert "import /etc/caddy/conf.d/*.caddy" in done.stdout
        assert not sandbox.path(f"/etc/caddy/conf.d/{edge.slug}.caddy").exists()
        mine += "import /etc/caddy/conf.d/*.caddy\n"
        sandbox.write("/etc/caddy/Caddyfile", mine)
        edge.put(sandbox, project)
        assert sandbox.read("/etc/caddy/Caddyfile") == mine
        assert sandbox.path(f"/etc/caddy/conf.d/{edge.slug}.caddy").exists()


@each_caddy
def test_without_trusted_edges_nobody_is_trusted(edge: Edge, projects: Projects) -> None:
    """
    The default: no word of it is left, and the header of a would-be CDN counts for nothing.
    """
    answers = {name: value for name, value in edge.variant.answers.items() if name != "trusted_edges"}
    project = projects.render(variants.of(**answers))
    assert "trusted_proxies" not in project.read("deploy/caddy/site.caddy")
    with standing_in_sandbox(edge, project) as standing, standing.sandbox.inside():
        edge.start(standing.sandbox)
        with Recorder.on(standing.sandbox, edge.address) as recorder:
            Client(source="127.99.0.1").get("/", headers={"X-Forwarded-For": "6.6.6.6"})
            assert b"\r\nx-forwarded-for: 127.99.0.1\r\n" in recorder.requests[0].lower()
            assert b"6.6.6.6" not in recorder.requests[0]


@edges(where=only)
def test_the_application_counts_instead(standing: Standing) -> None:
    """
    One client is held back, another one is not; neither is who stands behind a CDN that another one floods from.
    """
    allowed = 2 * standing.edge.variant.facts["app_rate_per_second"]
    flooding, quiet = standing.client(), standing.client()

    def flood(client: Client, headers: str = "") -> list[Answer]:
        return burst(client, "/tell/echo", 4 * allowed, headers)

    answers = flood(flooding)
    statuses = [answer.status for answer in answers]
    assert statuses[:allowed] == [200] * allowed
    assert 429 in statuses
    refused = answers[statuses.index(429)]
    is_problem(refused, 429, "too-many-requests", "/tell/echo")
    assert refused.header("retry-after") == "1"
    assert refused.header("x-frame-options") == "DENY"
    assert quiet.get("/tell/echo").status == 200
    cdn = standing.client(source="127.99.0.5")
    assert 429 in {answer.status for answer in flood(cdn, "X-Forwarded-For: 203.0.113.60\r\n")}
    assert cdn.get("/tell/echo", headers={"X-Forwarded-For": "203.0.113.61"}).status == 200


class _Unready(BaseHTTPRequestHandler):
    """
    A machine whose service runs, but is not ready.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        ready = self.path == "/ready"
        self.send_response(503 if ready else 200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"unready")

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def unready(port: int) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", port), _Unready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@edges(fixture="own", where=only)
def test_who_is_not_ready_gets_nothing(own: Standing) -> None:
    """
    Several machines, one of which says so itself.
    """
    with unready(8101), Recorder.on(own.sandbox, 8102, "8102"), Recorder.on(own.sandbox, 8103, "8103"):
        own.edge.balance(own.sandbox, own.project, "round-robin", (8101, 8102, 8103))

        def settled() -> bool:
            return b"unready" not in {own.client().get("/").body for _ in range(6)}

        wait_until(settled, seconds=60, what="the health check has seen it")
        assert {own.client().get("/").body for _ in range(12)} == {b"8102", b"8103"}


@edges(where=only)
def test_the_edge_waits_as_the_budget_says(standing: Standing) -> None:
    """
    Read time-out, idle time and body limit are those of the ladder.
    """
    facts = standing.edge.variant.facts
    site = standing.sandbox.read(f"/etc/caddy/conf.d/{standing.slug}.caddy")
    assert re.findall(r"response_header_timeout (.*)", site) == [f"{facts['proxy_read_seconds']}s"]
    assert re.findall(r"keepalive (.*)", site) == [f"{facts['proxy_idle_seconds']}s"]
    assert re.findall(r"max_size (.*)", site) == [str(facts["body_limit_bytes"])]
    assert facts["proxy_idle_seconds"] < facts["lame_duck_seconds"]
