"""The project that this tool belongs to, on the machine of whoever deploys it."""

from __future__ import annotations

from pathlib import Path

from release.say import Problem
from release.service import HERE


def root() -> Path:
    """Return the root of the project; the tool in one file has left it."""
    project = HERE.parents[1]
    if HERE.is_file() or not (project / "pyproject.toml").is_file():
        raise Problem("this needs the project: run `python3 deploy/release` in its root")
    return project
