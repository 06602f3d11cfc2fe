"""A command for other machines: sent there as it was typed."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence

from release import hosts


def forward(names: Sequence[str], argv: Sequence[str], given: bytes | None = None) -> int:
    """Run a command on other hosts as it was typed; return the first exit code that is not 0."""
    words = hosts.without(argv)
    if given is None and hosts.verb_of(words) == "secret" and "set" in words:
        given = typed(words[-1])
    terminal = hosts.verb_of(words) == "exec" and sys.stdin.isatty()
    with hosts.Hosts(names) as connected:
        return connected.each(words, given, terminal)


def typed(name: str) -> bytes:
    """Read a secret here: unseen from a terminal, and once for all hosts."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{name}: ").encode()
    return sys.stdin.buffer.read()
