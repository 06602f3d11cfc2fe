"""The environment of a run: `/etc/<slug>/environment`, variables that are no secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from release import say

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
QUOTED = re.compile(r"""\"([^"\\]|\\.)*\"|'[^'\\]*'""")


def read(path: Path) -> dict[str, str]:
    """
    Read the variables; a Problem names a line that is not one.

    Empty ones are left out: it means the same to the service, and gunicorn stumbles over an empty
    WEB_CONCURRENCY. Values stand as they are, quotes included, for systemd to read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise say.Problem(f"{path} is not UTF-8; save it as such") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        name, separator, value = line.partition("=")
        if not separator or not NAME.fullmatch(name.strip()) or goes_on(value.strip()):
            raise say.Problem(f"{path}, line {number}: write NAME=value, on one line")
        if value.strip() not in ("", '""', "''"):
            found[name.strip()] = value.strip()
    return found


def goes_on(value: str) -> bool:
    """Tell whether systemd would read on in the next line, or after the closing quote."""
    if value.startswith(('"', "'")):
        return not QUOTED.fullmatch(value)
    return value.endswith("\\")


def number(variables: Mapping[str, str], name: str, default: float) -> float:
    """Read a number; the service itself complains about what is none."""
    try:
        value = float(variables.get(name, "").strip("\"'") or default)
    except ValueError:
        return default
    return value if math.isfinite(value) else default
