"""
Whether this host is fit for the service, and what to do where it is not.

One module per thing that is looked at: `TITLE`, and `check(machine)`, which gives findings. They
only look. What is found wanting in one of them does not keep the others from looking.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass

from release import say
from release.machine import Machine

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """What was seen, and what to do about it; `advice` is empty when nothing is to be done."""

    level: str
    text: str
    advice: str = ""


def ok(text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(OK, text)


def warn(text: str, advice: str) -> Finding:
    """Say what will hurt some day."""
    return Finding(WARN, text, advice)


def fail(text: str, advice: str) -> Finding:
    """Say what hurts now."""
    return Finding(FAIL, text, advice)


def examine(machine: Machine) -> Iterator[tuple[str, Finding]]:
    """Run every check; give the title of each with what it finds."""
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        module = importlib.import_module(f"{__name__}.{found.name}")
        try:
            for finding in module.check(machine):
                yield module.TITLE, finding
        except (say.Problem, OSError, ValueError) as error:
            yield module.TITLE, warn(f"cannot be looked at: {error}", "see the message")


def report(machine: Machine) -> int:
    """Print the table; return 1 when something hurts now."""
    levels, advised = [], False
    last = ""
    for title, finding in examine(machine):
        levels.append(finding.level)
        say.line(f"{finding.level:<5} {'' if title == last else title:<14} {finding.text}")
        if finding.advice:
            say.line(f"{'':<20} > {finding.advice}")
            advised = advised or "release " in finding.advice
        last = title
    counted = ", ".join(f"{levels.count(level)} {level}" for level in (OK, WARN, FAIL))
    say.line(counted)
    if advised:
        say.line(say.SHORT)
    return 1 if FAIL in levels else 0
