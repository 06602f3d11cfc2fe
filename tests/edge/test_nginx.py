"""
nginx alone: its own checks, its neighbours, the user's additions.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge.conftest import Standing, standing_in_sandbox
from tests.edge.recorder import Recorder
from tests.edge.test_errors import is_problem
from tests.support import variants
from tests.support.edges import Edge, edges, every
from tests.support.edges.client import Client
from tests.support.processes import wait_until
from tests.support.projects import Projects
from tests.support.sandbox import Sandbox

NGINX = [edge for edge in every() if edge.proxy == "nginx"]
each_nginx = pytest.mark.parametrize(
    "edge", [pytest.param(edge, id=edge.name, marks=pytest.mark.xdist_group(edge.name)) for edge in NGINX]
)


def only(edge: Edge) -> bool:
    return edge.proxy == "nginx"


@edges(fixture="own", where=only)
def test_gixy_finds_nothing(own: Standing, tmp_path: Path) -> None:
    """
    As installed, with all that is included. Without the wish for a default_server: of two services on one host only one
    could be that.
    """
    folder = tmp_path / "nginx"
    for path in ("conf.d", "snippets"):
        (folder / path).mkdir(parents=True)
        for name in own.sandbox.run("sh", "-c", f"cd /etc/nginx/{path} && ls {own.slug}*").stdout.split():
            text = own.sandbox.read(f"/etc/nginx/{path}/{name}")
            (folder / path / name).write_text(text.replace("/etc/nginx/", f"{folder}/"))
    (folder / "nginx.conf").write_text(f"events {{}}\nhttp {{\n    include {folder}/conf.d/*.conf;\n}}\n")
    gixy = [sys.executable, "-m", "gixy", "--skips", "default_server_flag", str(folder / "nginx.conf")]
    done = subprocess.run(gixy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Problem:" not in done.stdout, done.stdout


@edges(fixture="own", where=only)
def test_additions_are_part_of_the_server_and_survive(own: Standing) -> None:
    """
    The user's lines are kept by the next set-up, beside the files that it writes again.
    """
    mine = f"/etc/{own.slug}/nginx.d/site.conf"
    own.sandbox.write(mine, "location = /mine { return 204; }\n")
    site = f"/etc/nginx/conf.d/{own.slug}.conf"
    own.sandbox.write(site, own.sandbox.read(site) + "# an edit in the wrong place\n")
    own.edge.install(own.sandbox, own.project)
    own.edge.reload(own.sandbox)
    wait_until(lambda: own.client().get("/mine").status == 204, seconds=60, what="the addition is served")
    assert own.client().get("/mine").header("x-frame-options") == "DENY"
    assert "wrong place" not in own.sandbox.read(site)


@each_nginx
def test_two_services_share_one_nginx(edge: Edge, projects: Projects) -> None:
    """
    No global name is taken twice; each has its own domain, upstream, limits and log.
    """
    first = projects.render(edge.variant)
    answers = {**edge.variant.answers, "project_name": "Other", "project_slug": "other", "domain": "other.test"}
    second = projects.render(variants.of(**answers))
    with Sandbox(edge.root(), [first.path, second.path]) as sandbox:
        # Debian's example is a default_server: it would answer unknown names on port 80.
        sandbox.path("/etc/nginx/sites-enabled/default").unlink()
        edge.install(sandbox, first)
        edge.install(sandbox, second, domain="other.test")
        edge.start(sandbox)
        with (
            sandbox.inside(),
            Recorder.on(sandbox, "/run/my-service.sock", "first"),
            Recorder.on(sandbox, "/run/other.sock", "second"),
        ):
            assert Client().get("/").body == b"first"
            assert Client(host="other.test").get("/").body == b"second"
            for _ in range(30):
                assert Client(source="127.1.1.1").get("/").status in (200, 429)
            assert Client(source="127.1.1.1", host="other.test").get("/").status == 200, "limits are apart"
            is_problem(Client(scheme="http", host="nobody.test").get("/"), 421, "misdirected-request", "/")
        assert "other.test" not in sandbox.read("/var/log/nginx/my-service.access.log")
        assert sandbox.read("/var/log/nginx/other.access.log").count('"host":"other.test"') == 2


@each_nginx
def test_without_trusted_edges_nobody_is_trusted(edge: Edge, projects: Projects) -> None:
    """
    The default: no word of it is left, and the header of a would-be CDN counts for nothing.
    """
    answers = {name: value for name, value in edge.variant.answers.items() if name != "trusted_edges"}
    project = projects.render(variants.of(**answers))
    assert not [name for name in project.tree() if "nginx/" in name and "real_ip" in project.read(name)]
    with standing_in_sandbox(edge, project) as standing, standing.sandbox.inside():
        edge.start(standing.sandbox)
        with Recorder.on(standing.sandbox, edge.address) as recorder:
            Client(source="127.99.0.1").get("/", headers={"X-Forwarded-For": "6.6.6.6"})
            assert b"X-Forwarded-For: 127.99.0.1\r\n" in recorder.requests[0] + b"\r\n"
            assert b"6.6.6.6" not in recorder.requests[0]


@edges(fixture="own", where=only)
def test_an_ipv6_network_is_one_client(own: Standing) -> None:
    """
    Addresses of one /64 share a bucket; those of another have their own.
    """
    addresses = ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1", "2001:db8::1", "2001:db8::a:b:c:d")
    for address in addresses:
        own.sandbox.run("ip", "address", "add", f"{address}/128", "dev", "lo", "nodad")
    number = own.edge.variant.facts["edge_burst"]

    def flood(source: str) -> set[int]:
        client = Client(source=source, address="::1")
        return {client.get("/").status for _ in range(2 * number)}

    with Recorder.on(own.sandbox, own.edge.address):
        assert flood(addresses[0]) == {200, 429}
        assert 429 in {Client(source=addresses[1], address="::1").get("/").status for _ in range(2)}
        assert Client(source=addresses[2], address="::1").get("/").status == 200
        assert flood(addresses[3]) == {200, 429}
        assert 429 in {Client(source=addresses[4], address="::1").get("/").status for _ in range(2)}


@edges(fixture="own", where=only)
def test_the_edge_waits_as_the_budget_says(own: Standing) -> None:
    """
    Read time-out, idle time and body limit are those of the ladder.
    """
    facts = own.edge.variant.facts
    proxy = own.sandbox.read(f"/etc/nginx/snippets/{own.slug}-proxy.conf")
    upstream = own.sandbox.read(f"/etc/nginx/snippets/{own.slug}-upstream.conf")
    connections = own.sandbox.read(f"/etc/nginx/snippets/{own.slug}-connections.conf")
    assert re.findall(r"^proxy_(?:read|send)_timeout (.*);$", proxy, re.M) == [f"{facts['proxy_read_seconds']}s"] * 2
    assert re.findall(r"^ *keepalive_timeout (.*);$", upstream, re.M) == [f"{facts['proxy_idle_seconds']}s"]
    assert re.findall(r"^client_max_body_size (.*);$", connections, re.M) == [str(facts["body_limit_bytes"])]
    assert facts["proxy_idle_seconds"] < facts["lame_duck_seconds"]


@pytest.mark.xdist_group("nginx-1.26")
@pytest.mark.parametrize(
    ("version", "listens"),
    [
        ("1.22.1", {"listen 80;", "listen 443 ssl http2;", "listen [::]:80;", "listen [::]:443 ssl http2;"}),
        ("1.25.0", {"listen 80;", "listen 443 ssl http2;", "listen [::]:80;", "listen [::]:443 ssl http2;"}),
        ("1.25.1", {"listen 80;", "listen 443 ssl;", "listen [::]:80;", "listen [::]:443 ssl;", "http2 on;"}),
        ("1.30.0", {"listen 80;", "listen 443 ssl;", "listen [::]:80;", "listen [::]:443 ssl;", "http2 on;"}),
    ],
)
def test_http2_is_switched_on_as_the_version_wants(projects: Projects, version: str, listens: set[str]) -> None:
    """
    On the listen line before 1.25.1, by a line of its own since: the other way is an error or a warning.
    """
    with Sandbox(Path("/"), [projects.render(NGINX[0].variant).path]) as sandbox:
        assert installed_lines(sandbox, projects, version) == listens


@pytest.mark.xdist_group("nginx-1.26")
def test_without_ipv6_nginx_listens_on_ipv4_alone(projects: Projects) -> None:
    """
    A kernel that was started without it has no such file in /proc, and nginx would not start.
    """
    with Sandbox(Path("/"), [projects.render(NGINX[0].variant).path]) as sandbox:
        hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec sh "$@"', "sh")
        assert installed_lines(sandbox, projects, "1.26.3", *hidden) == {"listen 80;", "listen 443 ssl;", "http2 on;"}


def installed_lines(sandbox: Sandbox, projects: Projects, version: str, *before: str) -> set[str]:
    """
    The site's `listen` lines after an `install` beside an nginx that claims to be of a version, and finds everything good.
    """
    sandbox.write(
        "/usr/local/sbin/nginx", f'#!/bin/sh\n[ "$1" != -v ] || echo "nginx version: nginx/{version}" >&2\n', 0o755
    )
    sandbox.write("/usr/local/sbin/systemctl", "#!/bin/sh\n", 0o755)
    script = projects.render(NGINX[0].variant) / "deploy/nginx/install"
    sandbox.run(*(before or ("sh",)), script, "api.test")
    return set(
        re.findall(r"^ *((?:listen|http2) .*)$", sandbox.read("/etc/nginx/conf.d/my-service.conf"), re.MULTILINE)
    )


@edges(fixture="own", where=only)
def test_set_up_says_what_is_missing(own: Standing) -> None:
    """
    In words that say what to do: the directory that is not read, the program.
    """
    own.edge.put(own.sandbox, own.project)
    main = own.sandbox.read("/etc/nginx/nginx.conf")
    own.sandbox.write("/etc/nginx/nginx.conf", main.replace("conf.d/*.conf", "elsewhere/*.conf"))
    done = own.edge.put(own.sandbox, own.project, check=False)
    assert done.returncode == 1
    assert "include /etc/nginx/conf.d/*.conf;" in done.stdout
    own.sandbox.run("rm", "/usr/sbin/nginx")
    done = own.edge.put(own.sandbox, own.project, check=False)
    assert done.returncode == 1
    assert "apt-get install nginx" in done.stdout
