"""
Traefik alone: its certificate, its helper, its files of the host, and the check that it does not have.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time

import pytest

from tests.edge.conftest import Standing, standing_in_sandbox
from tests.edge.recorder import Recorder
from tests.edge.test_errors import is_problem
from tests.support.edges import edges
from tests.support.edges.acme import DIRECTORY, NAME, ROOT, authority, certificate, is_certified
from tests.support.edges.edge import DOMAIN
from tests.support.edges.traefik import EDGES, Traefik
from tests.support.processes import wait_until
from tests.support.projects import Projects

STATIC = "/etc/traefik/traefik.yml"
LOCAL = "/etc/traefik/dynamic/my-service+local.yml"


def traefik(fixture: str = "standing") -> pytest.MarkDecorator:
    return edges(fixture=fixture, where=lambda edge: edge.proxy == "traefik")


@pytest.mark.xdist_group("traefik-3.7")
def test_the_certificate_comes_by_itself(projects: Projects) -> None:
    """
    Proved over port 80, which otherwise leads to HTTPS, and in maintenance; a self-signed one stands in until then.
    """
    edge: Traefik = EDGES[0]
    with standing_in_sandbox(edge, projects.render(edge.variant)) as own, own.sandbox.inside():
        sandbox = own.sandbox
        authority(sandbox)
        text = sandbox.read(STATIC)
        sandbox.write(STATIC, text.replace("acme:\n", f"acme:\n      caServer: {DIRECTORY}\n"))
        own.maintenance("on")
        trusting = {"LEGO_CA_CERTIFICATES": ROOT, "LEGO_CA_SERVER_NAME": NAME}
        edge.start(sandbox, trusting)
        assert certificate(sandbox, trusted=False)["bytes"]
        wait_until(lambda: is_certified(sandbox), seconds=60, what="the certificate is served")
        assert certificate(sandbox)["subjectAltName"] == (("DNS", DOMAIN),)
        assert sandbox.run("stat", "-c", "%a", "/var/lib/traefik/acme.json").stdout == "600\n"


@traefik()
def test_the_answer_to_a_post_may_be_a_stream(standing: Standing) -> None:
    """
    For who asks for events; else it is collected, as the body was.
    """
    for accept, earliest, latest in (("text/event-stream", 0.0, 2.5), ("*/*", 2.5, 60.0)):
        with standing.client().kept() as connection:
            begun = time.monotonic()
            lines = ["POST /tell/events HTTP/1.1", "Host: api.test", f"Accept: {accept}", "Content-Length: 2"]
            connection.sendall("\r\n".join([*lines, "", "{}"]).encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            assert earliest <= time.monotonic() - begun <= latest


@traefik()
def test_a_body_of_twice_the_limit_stops_here(standing: Standing) -> None:
    """
    Up to there the service says no; beyond, Traefik does, and reads no further.
    """
    limit = standing.edge.variant.facts["body_limit_bytes"]
    answer = standing.client().post("/tell/echo", body=b"x" * (2 * limit + 1))
    assert answer.status == 413
    assert answer.header("x-request-id") is None


@traefik("own")
def test_without_its_helper_it_still_says_what_happened(own: Standing) -> None:
    """
    By the status alone; and what the helper has no answer for the service is asked.
    """
    is_problem(own.client().get("/x"), 502, "bad-gateway", "/x")
    own.sandbox.run("pkill", "-f", "responder.py")
    assert own.client().get("/x").status == 502
    with Recorder.on(own.sandbox, own.edge.address) as recorder:
        assert own.client().get("/static/a.css").status == 200
        assert recorder.heads[0].startswith(b"GET /static/a.css ")


@traefik()
def test_the_helper_takes_no_body_for_a_request(standing: Standing) -> None:
    """
    A GET may carry one, which nobody reads; so nothing more is read from that connection.
    """
    inner = b"GET /problem/503 HTTP/1.1\r\nHost: api.test\r\n\r\n"
    head = f"GET /problem/502 HTTP/1.1\r\nHost: api.test\r\nContent-Length: {len(inner)}\r\n\r\n".encode()
    received = b""
    with socket.create_connection(("127.0.0.1", 18000), 5) as connection:
        connection.sendall(head + inner)
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
    assert received.count(b"HTTP/1.1 ") == 1


@traefik("own")
def test_what_the_local_file_names_anew_is_replaced(own: Standing) -> None:
    """
    It is read first. Set-up leaves it alone, whatever else it writes.
    """
    text = "http:\n  middlewares:\n    my-service_headers:\n      headers:\n        referrerPolicy: same-origin\n"
    own.sandbox.write(LOCAL, text)

    def policy() -> str | None:
        return own.client().get("/").header("referrer-policy")

    wait_until(lambda: policy() == "same-origin", seconds=60, what="the local file is read")
    own.edge.install(own.sandbox, own.project)
    assert own.sandbox.read(LOCAL) == text


@traefik("own")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http:\n  routers: [\n", "yaml"),
        ("http:\n  routers:\n    a:\n      rule: Host(`a`)\n      servce: b\n", "servce"),
        ("http:\n  routers:\n    a:\n      rule: Host(`a`)\n      service: nobody\n", "nobody"),
    ],
    ids=["no-yaml", "unknown-word", "unknown-name"],
)
def test_a_broken_file_is_found_before_it_matters(own: Standing, text: str, said: str) -> None:
    """
    Traefik has no command for it; `install` asks a second one, on other ports.
    """
    own.sandbox.write(LOCAL, text)
    done = own.edge.put(own.sandbox, own.project, check=False)
    assert done.returncode == 1
    assert said in done.stdout


@traefik("own")
def test_a_host_that_has_a_traefik_is_told_what_it_lacks(own: Standing) -> None:
    """
    Its file is left alone; each missing setting is named.
    """
    theirs = "entryPoints:\n  web:\n    address: ':80'\nproviders:\n  file:\n    directory: /srv/traefik\n"
    own.sandbox.write(STATIC, theirs)
    done = own.edge.put(own.sandbox, own.project, check=False)
    assert done.returncode == 1
    said = done.stdout
    assert "entryPoints.websecure.address" in said
    assert "certificatesResolvers.letsencrypt.acme.storage" in said
    assert "providers.file.directory: /etc/traefik/dynamic" in said
    assert "127.99.0.0/16" in said
    assert "entryPoints.web.address" not in said
    assert own.sandbox.read(STATIC) == theirs
    # A link to the real one, outside of the sandbox.
    own.sandbox.run("rm", "/usr/local/bin/traefik")
    own.sandbox.write("/usr/local/bin/traefik", "#!/bin/sh\necho 'Version:      3.6.2'\n", 0o755)
    assert "too old" in own.edge.put(own.sandbox, own.project, check=False).stdout


@traefik("own")
def test_every_name_carries_the_slug(own: Standing) -> None:
    """
    Routers, middlewares, services, transports, files: several services share one Traefik.
    """
    for name in ("site", "trusted", "maintenance"):
        text = own.project.read(f"deploy/traefik/{name}.yml")
        names = re.findall(r"^ {4}([^ #:]+):", text, re.MULTILINE)
        assert names
        assert {each.split("_")[0] for each in names} == {own.slug}, name
    files = own.sandbox.run("find", "/etc", "/opt", "-name", f"*{own.slug}*").stdout.split()
    assert sorted(files) == [
        f"/etc/systemd/system/{own.slug}--responder.service",
        f"/etc/systemd/system/traefik.service.d/{own.slug}.conf",
        f"/etc/traefik/dynamic/{own.slug}+local.yml",
        f"/etc/traefik/dynamic/{own.slug}+trusted.yml",
        f"/etc/traefik/dynamic/{own.slug}.yml",
        f"/opt/{own.slug}",
    ]


@traefik("own")
def test_no_service_has_files_of_another(own: Standing) -> None:
    """
    Also when its name is the other's with a word added that files here are named by.
    """
    own.maintenance("on")
    own.edge.install(own.sandbox, own.project)
    names = sorted(own.sandbox.run("ls", "/etc/traefik/dynamic").stdout.split())
    ours = [name for name in names if name != "host.yml"]
    assert ours == [*(f"my-service+{word}.yml" for word in ("local", "maintenance", "trusted")), "my-service.yml"]
