"""
nginx's certificate on a real machine, and the sign on its door: by the lines of the rendered docs.
"""

from __future__ import annotations

import re

import pytest

from tests.support.edges.acme import CONFIGURATION, DIRECTORY, NAME, ROOT
from tests.support.edges.edge import documented
from tests.support.processes import wait_until
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on


@on("trixie")
def test_certbot_gets_and_renews_the_certificate(host: Host) -> None:
    """
    By the one printed line, while clients are served: nginx answers with the new certificate, and with the next one after a
    renewal, which nobody has to do anything for. A set-up leaves it alone.
    """
    machine, tls = host.machine, f"/etc/{host.slug}/tls"
    if machine.run("sh", "-c", "command -v certbot", check=False).returncode:
        pytest.skip("certbot is missing on this machine: tests/support/rootfs.py installs it")
    line = documented(host.operator.project, "nginx", "(certbot certonly .+)")
    printed = re.search(r"--domain (\S+) ", line)
    assert printed, line
    line = line.replace(printed[1], host.domain).replace("you@your-company.com", f"ops@{host.domain}")
    machine.run("cp", "-a", tls, "/root/tls")
    hosts = machine / "etc/hosts"
    known = hosts.read_text()
    try:
        hosts.write_text(f"{known}\n127.0.0.1 {NAME} {host.domain}\n")
        (machine / "etc/acme.caddyfile").write_text(CONFIGURATION)
        words = (
            "--unit=acme",
            "--setenv=HOME=/root",
            "caddy",
            "run",
            "--adapter=caddyfile",
            "--config=/etc/acme.caddyfile",
        )
        machine.run("systemd-run", *words)
        wait_until(lambda: (machine / ROOT).exists() and answers(host), seconds=60, what="the authority answers")
        # As the operator's machine knows Let's Encrypt.
        trusting = {"REQUESTS_CA_BUNDLE": ROOT}
        first = served(host)
        with NGINX.load(host) as load:
            machine.run("sh", "-c", f"{line} --server {DIRECTORY}", environment=trusting)
            second = changed(host, first)
            renew = ("renew", "--force-renewal", "--no-random-sleep-on-renew")
            machine.run("certbot", *renew, environment=trusting)
            third = changed(host, second)
            assert third not in (first, second)
            load.wait_for(50)
        assert load.tally.lost == 0, load.tally.row("certificates")
        assert machine.run("systemctl", "is-enabled", "certbot.timer").stdout == "enabled\n"
        host.setup()
        assert (
            machine.run("readlink", f"{tls}/fullchain.pem").stdout
            == f"/etc/letsencrypt/live/{host.domain}/fullchain.pem\n"
        )
        assert served(host) == third
    finally:
        hosts.write_text(known)
        machine.run("systemctl", "stop", "acme", check=False)
        # As it was before.
        machine.run("sh", "-c", f"rm -rf {tls} && mv /root/tls {tls} && systemctl reload nginx")
        machine.run("rm", "-rf", "/etc/letsencrypt", "/var/lib/letsencrypt", "/var/log/letsencrypt", "/var/lib/acme")
        machine.run("rm", "-f", "/etc/acme.caddyfile")


def answers(host: Host) -> bool:
    """
    Tell whether the authority does.
    """
    question = f"urlopen({DIRECTORY!r}, context=create_default_context(cafile={ROOT!r}))"
    code = f"from ssl import create_default_context; from urllib.request import urlopen; {question}"
    return host.machine.run("python3", "-c", code, check=False).returncode == 0


def served(host: Host) -> str:
    """
    The serial number and the issuer of the certificate that clients get.
    """
    command = f"openssl s_client -connect 127.0.0.1:443 -servername {host.domain} </dev/null 2>/dev/null"
    return host.machine.run("sh", "-c", f"{command} | openssl x509 -noout -serial -issuer").stdout


def changed(host: Host, before: str) -> str:
    """
    Another certificate, of the authority, once it is served: old processes of nginx answer for another moment.
    """
    wait_until(lambda: served(host) != before, seconds=20, what="another certificate is served")
    now = served(host)
    assert "Caddy Local Authority" in now, now
    command = f"openssl s_client -connect 127.0.0.1:443 -servername {host.domain} -verify_hostname {host.domain}"
    done = host.machine.run("sh", "-c", f"{command} -verify_return_error -CAfile {ROOT} </dev/null")
    assert "Verify return code: 0" in done.stdout
    return now


@on("trixie")
def test_maintenance(host: Host) -> None:
    """
    By the printed lines: nginx answers for the service, with a problem; it hears the truth who asks whether it is alive.
    """
    runbook = host.operator.project.read("docs/runbook.md")
    lines = re.findall(rf"`ssh \$HOST ((?:touch|rm) /etc/{host.slug}/maintenance)`", runbook)
    chapter = [documented(host.operator.project, "nginx", rf"(.+?) +# {state}") for state in ("on", "off")]
    assert lines == chapter
    host.machine.run("sh", "-c", lines[0])
    try:
        answer = host.ask("/api/v1/items?limit=1")
        assert answer.status == 503
        assert answer.is_problem
        assert int(answer.headers["retry-after"]) > 0
        assert host.ask("/health").status == 200
        # A deploy goes on behind it.
        host.release("restart")
        assert host.ask("/api/v1/items?limit=1").status == 503
    finally:
        host.machine.run("sh", "-c", lines[1])
    assert host.ask("/api/v1/items?limit=1").status == 200
