"""
nginx's certificate: a self-signed one at first, then a real one by certbot, renewed without anybody.
"""

from __future__ import annotations

import pytest

from tests.edge.conftest import Standing
from tests.support.edges import edges
from tests.support.edges.acme import DIRECTORY, ROOT, authority, certificate, is_certified, new_certificate
from tests.support.edges.edge import DOMAIN, documented


@edges(fixture="own", where=lambda edge: edge.proxy == "nginx")
def test_certbot_gets_and_renews_the_certificate(own: Standing) -> None:
    """
    By the line of the rendered chapter: proved over port 80, also in maintenance; linked into place, and nginx reads what a
    renewal brings.
    """
    sandbox = own.sandbox
    if sandbox.run("sh", "-c", "command -v certbot", check=False).returncode:
        pytest.skip("certbot is missing: scripts/install-tools installs it")
    authority(sandbox)
    environment = {"REQUESTS_CA_BUNDLE": ROOT}

    assert not is_certified(sandbox)
    assert certificate(sandbox, trusted=False)["bytes"]
    keys = sandbox.run("stat", "-c", "%a", f"/etc/{own.slug}/tls/privkey.pem").stdout
    assert keys == "600\n", "nobody else reads a key"

    own.maintenance("on")
    certbot = documented(own.project, "nginx", "(certbot certonly .+)")
    assert f" --domain {DOMAIN} " in certbot
    sandbox.run("sh", "-c", f"{certbot} --server {DIRECTORY}", env=environment)
    first = new_certificate(sandbox)
    assert first["subjectAltName"] == (("DNS", DOMAIN),)

    sandbox.run("certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew", env=environment)
    new_certificate(sandbox, other_than=first["bytes"])

    own.edge.install(sandbox, own.project)
    link = sandbox.run("readlink", f"/etc/{own.slug}/tls/fullchain.pem").stdout
    assert link == f"/etc/letsencrypt/live/{DOMAIN}/fullchain.pem\n", "a set-up leaves the certificate alone"
