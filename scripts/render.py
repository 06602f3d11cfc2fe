"""
Render the working tree, never an older tag: `scripts/render [--tests] DEST [name=value …]`.

With `--tests` those of tests/service that fit are put into it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.projects import Projects, render
from tests.support.service_tests import put_into


def main(destination: str, *options: str, tests: bool = False) -> None:
    """
    Render into a folder; options are answers, as `name=value`.
    """
    answers = dict(option.split("=", 1) for option in options)
    with tempfile.TemporaryDirectory() as folder:
        render(Projects(Path(folder)).source, Path(destination), answers)
    if tests:
        put_into(Path(destination))
    print(f"rendered into {destination}")


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--tests"]
    if not words or any("=" not in word for word in words[1:]):
        sys.exit("usage: scripts/render [--tests] DEST [name=value …]")
    main(*words, tests="--tests" in sys.argv)
