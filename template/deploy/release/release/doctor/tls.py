"""The certificate: the right one, and long enough before its end."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator

from release.doctor import Finding, fail, ok, warn
from release.machine import Machine

TITLE = "certificate"

# Lifetimes shrink from year to year, so a share is what counts, not a number of days. A third left
# is when clients renew; a renewal that fails for a while is noticed at a quarter.
LATE, TOO_LATE = 1 / 4, 1 / 10
SECONDS = 5


def check(machine: Machine) -> Iterator[Finding]:
    """Ask the proxy here for its certificate, as a browser would."""
    if machine.edge.name == "none":
        yield ok("the load balancer in front has it")
        return
    domain = machine.site().domain
    if not resolves(domain):
        yield warn(f"the name {domain} leads nowhere", "set its A and AAAA records to this machine")
    context = ssl.create_default_context()
    try:
        found = certificate(domain, context)
    except ssl.SSLCertVerificationError as error:
        advice = "point the domain to this host; then: release tls"
        yield fail(f"{domain}: {error.verify_message}", advice)
        return
    except (OSError, ssl.SSLError) as error:
        yield fail(f"nothing speaks TLS on port 443 for {domain}: {error}", "is the proxy running?")
        return
    yield judge(domain, *found, time.time())


def resolves(domain: str) -> bool:
    """Tell whether the name leads to any machine; behind a balancer it is not this one's."""
    try:
        return bool(socket.getaddrinfo(domain, 443))
    except OSError:
        return False


def certificate(domain: str, context: ssl.SSLContext) -> tuple[float, float]:
    """Return the beginning and the end of a certificate that browsers accept."""
    plain = socket.create_connection(("127.0.0.1", 443), SECONDS)
    with plain, context.wrap_socket(plain, server_hostname=domain) as wrapped:
        told = wrapped.getpeercert() or {}
    return (
        ssl.cert_time_to_seconds(str(told["notBefore"])),
        ssl.cert_time_to_seconds(str(told["notAfter"])),
    )


def judge(domain: str, begins: float, ends: float, now: float) -> Finding:
    """Judge how much of the lifetime is left."""
    left = (ends - now) / (ends - begins)
    text = f"{domain}: {(ends - now) / 86400:.0f} days left, {left:.0%} of its life"
    if left < TOO_LATE:
        return fail(text, "it is not renewed; to see why: release tls --force")
    if left < LATE:
        return warn(text, "it should have been renewed by now; to see why: release tls --force")
    return ok(text)
