"""The domain: asked where a terminal is, and never one that belongs to nobody."""

from __future__ import annotations

import re
import sys

from release import say
from release.say import Problem

NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")

# Reserved for documentation, or never to be found (RFC 2606, RFC 6761).
NOBODYS = re.compile(r"(.*\.)?(example\.(com|net|org|edu)|example|invalid|localhost)")


def decide(wanted: str, remembered: str, rendered: str) -> str:
    """Return the domain: what was asked for, what is known, or what a person types."""
    if wanted:
        refuse_nonsense(wanted)
        return wanted
    if remembered:
        return remembered
    offered = "" if trouble(rendered) else rendered
    if not sys.stdin.isatty():
        if offered:
            return offered
        raise Problem("under which domain is it reached? Say so: --domain api.your-company.com")
    while True:
        say.finish_line()
        typed = input(f"Domain [{offered}]: " if offered else "Domain: ").strip().lower() or offered
        if not (why := trouble(typed)):
            return typed
        say.line(f"  {why}")


def refuse_nonsense(domain: str) -> None:
    """Raise a Problem when a domain cannot be one."""
    if why := trouble(domain):
        raise Problem(why)


def trouble(domain: str) -> str | None:
    """Say why a domain cannot be one; None when it can."""
    if len(domain) > 253 or not NAME.fullmatch(domain):
        return f"{domain!r} is not a host name in small letters, such as api.your-company.com"
    if NOBODYS.fullmatch(domain):
        return f"{domain} belongs to nobody: no certificate is given for it; type your own"
    return None
