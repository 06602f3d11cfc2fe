"""Secrets: one file each in `/etc/<slug>/credentials`, read by root only."""

from __future__ import annotations

import re
from pathlib import Path

from release import say

NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def read(directory: Path) -> dict[str, bytes]:
    """Read all secrets, by name."""
    try:
        paths = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise say.Problem(f"{directory} cannot be read; run this as root") from None
    for path in paths:
        if not NAME.fullmatch(path.name) or not path.is_file():
            raise say.Problem(f"{path} is not a secret: a file named like a variable; move it")
    return {path.name: path.read_bytes() for path in paths}


def check(name: str, value: str) -> None:
    """Raise a Problem when a secret cannot be one."""
    if not NAME.fullmatch(name):
        raise say.Problem(f"{name} is not the name of a variable, such as API_TOKEN")
    if not value:
        raise say.Problem(f"nothing was given; to remove it: secret unset {name}")
    if "\0" in value:
        raise say.Problem("a secret is text; this holds a zero byte")
    if "change-me" in value:
        raise say.Problem("this is still the placeholder (it holds change-me)")
