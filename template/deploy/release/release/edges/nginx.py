"""nginx: its files, a certificate to begin with, and the real one by certbot."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

from release import say
from release.edges import Edge, Site, Step

# Of Debian 12, the oldest that the files were run with.
OLDEST = (1, 22)
# Since then HTTP/2 is a line of its own, and a warning on the `listen` line.
OWN_LINE_FOR_HTTP2 = (1, 25, 1)

SNIPPETS = ("upstream", "variables", "connections", "problems", "headers", "proxy")

ADDITIONS = """\
# Yours: what stands here is part of the HTTPS server of {slug}, and never touched again.
# For example:
#
#     location /internal/ {{
#         return 404;
#     }}
"""


class Nginx:
    """What Debian and Ubuntu package: one nginx per host, shared by all its sites."""

    name = "nginx"

    def requirements(self, site: Site) -> list[str]:
        """Ask for the program, recent enough, and for the directory that the site is put in."""
        found = version()
        if found is None:
            return ["nginx is not installed: apt-get install nginx"]
        problems = []
        if found < OLDEST:
            problems.append(f"nginx {_dotted(found)} is too old: at least {_dotted(OLDEST)}")
        main = Path(f"{site.root}/etc/nginx/nginx.conf")
        if main.is_file() and "conf.d/*.conf" not in main.read_text(encoding="utf-8"):
            problems.append(f"{main} has no `include /etc/nginx/conf.d/*.conf;`: add it to http")
        if not shutil.which("openssl"):
            problems.append("openssl is not installed: apt-get install openssl")
        return problems

    def files(self, site: Site) -> dict[str, str]:
        """Return the site and what it includes."""
        texts = {f"{site.root}/etc/nginx/conf.d/{site.slug}.conf": site.rendered("nginx/site.conf")}
        for name in SNIPPETS:
            path = f"{site.root}/etc/nginx/snippets/{site.slug}-{name}.conf"
            texts[path] = site.rendered(f"nginx/{name}.conf")
        speaks_ipv6 = Path("/proc/net/if_inet6").exists()
        return {path: adapt(text, version(), speaks_ipv6) for path, text in texts.items()}

    def keep(self, site: Site) -> dict[str, str]:
        """Return the user's additions, and a self-signed pair that only nginx has to like."""
        etc = Path(f"{site.root}/etc/{site.slug}")
        private, chain = etc / "tls" / "privkey.pem", etc / "tls" / "fullchain.pem"
        pair = {str(private): "", str(chain): ""}
        if not chain.exists():
            pair = dict(zip(pair, _self_signed(site.domain, private)))
        return {**pair, str(etc / "nginx.d" / "site.conf"): ADDITIONS.format(slug=site.slug)}

    def check(self) -> list[str] | None:
        """Have nginx read everything."""
        return ["nginx", "-t", "-q"]

    def reload(self) -> list[str] | None:
        """Start it too, where it does not run yet."""
        return ["systemctl", "reload-or-restart", "nginx"]

    def tls(self, site: Site, options: argparse.Namespace) -> list[Step]:
        """
        Get a certificate by certbot and put it in the place of the self-signed one.

        Debian's certbot.timer renews it; the hook is remembered with the certificate.
        """
        if not shutil.which("certbot"):
            return [Step("certbot is not installed: apt-get install certbot, then once more")]
        webroot = f"/opt/{site.slug}/acme"
        live, tls = f"/etc/letsencrypt/live/{site.domain}", f"/etc/{site.slug}/tls"
        again = "--force-renewal" if options.force else "--keep-until-expiring"
        certbot = ["certbot", "certonly", "--non-interactive", "--agree-tos", again]
        certbot += ["--webroot", "--webroot-path", webroot, "--deploy-hook", "nginx -s reload"]
        certbot += ["--cert-name", site.domain, "--domain", site.domain]
        email = options.email or site.email
        certbot += ["--email", email] if email else ["--register-unsafely-without-email"]
        if options.server:
            certbot += ["--server", options.server]
        return [
            Step(f"make {webroot} for the proof", ["mkdir", "-p", webroot]),
            Step(f"get a certificate for {site.domain}", certbot),
            *(
                Step(f"use its {name}", ["ln", "-sfn", f"{live}/{name}.pem", f"{tls}/{name}.pem"])
                for name in ("fullchain", "privkey")
            ),
            Step("reload nginx", self.reload()),
        ]

    def maintenance(self, site: Site, on: bool) -> None:
        """Nothing to do: nginx looks at the file."""

    def advice(self, site: Site) -> list[str]:
        """Say how the name and the certificate come about."""
        return [
            f"DNS: point {site.domain} to this machine (A, and AAAA when it has IPv6); "
            "ports 80 and 443 have to be open",
            "TLS: the certificate is self-signed until the name resolves; then: release tls",
        ]

    def leave(self, site: Site) -> list[list[str]]:
        """Have certbot forget the certificate: without the site every renewal would fail."""
        renewal = Path(f"{site.root}/etc/letsencrypt/renewal/{site.domain}.conf")
        if not renewal.is_file() or f"/opt/{site.slug}/acme" not in renewal.read_text():
            return []
        return [["certbot", "delete", "--non-interactive", "--cert-name", site.domain]]


def adapt(text: str, installed: tuple[int, ...] | None, speaks_ipv6: bool) -> str:
    """Write what an older nginx understands, and leave out what the machine does not have."""
    if installed is not None and installed < OWN_LINE_FOR_HTTP2:
        text = re.sub(r"^ *http2 on;\n", "", text, flags=re.M)
        text = re.sub(r"^( *listen .*443 ssl);$", r"\1 http2;", text, flags=re.M)
    if not speaks_ipv6:
        text = re.sub(r"^ *listen \[::\].*\n", "", text, flags=re.M)
    return text


def version() -> tuple[int, ...] | None:
    """Return the version of the nginx that is installed."""
    try:
        said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return None
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else None


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _self_signed(domain: str, private: Path) -> tuple[str, str]:
    """Make a certificate, and a key; or take the key that an interrupted set-up has left."""
    if private.exists():
        key = private.read_text(encoding="ascii")
    else:
        key = _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    name = ("-subj", f"/CN={domain[:64]}", "-addext", f"subjectAltName=DNS:{domain}")
    return key, _openssl("req", "-x509", "-days", "3650", *name, "-key", "/dev/stdin", stdin=key)


def _openssl(*words: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(
            ["openssl", *words], input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise say.Problem("openssl is not installed: apt-get install openssl") from None
    if done.returncode:
        raise say.Problem("openssl could not make a certificate", done.stderr)
    return done.stdout


EDGE: Edge = Nginx()
