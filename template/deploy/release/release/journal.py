"""A log for people: what JSON lines say, without the lines that say that all is well."""

from __future__ import annotations

import json

# A traceback's last lines name the place and the error.
TRACEBACK_LINES = 6


def readable(text: str) -> str:
    """
    Write the log of a start that failed as a person wants to read it.

    Every worker fails in the same way, so what was said before is not repeated.
    """
    told: list[str] = []
    for line in text.splitlines():
        lines = _told(line)
        if lines and lines[0] not in told:
            told += lines
    return "\n".join(told)


def _told(line: str) -> list[str]:
    try:
        values = json.loads(line)
        level, event = str(values["level"]), str(values["event"])
    except (ValueError, KeyError, TypeError):
        return [line]
    if level in ("debug", "info"):
        return []
    first, *rest = event.splitlines() or [""]
    traceback = [*rest, *str(values.get("exception", "")).splitlines()]
    details = [f"{name}={values[name]}" for name in ("check", "reason", "path") if name in values]
    heading = " ".join([f"{level}: {first}", *details])
    return [heading, *(f"    {each}" for each in traceback[-TRACEBACK_LINES:] if each.strip())]
