"""
Render the working tree, never an older tag: `scripts/render DEST [name=value …]`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.projects import Projects, render


def main(destination: str, *options: str) -> None:
    """
    Render into a folder; options are answers, as `name=value`.
    """
    answers = dict(option.split("=", 1) for option in options)
    with tempfile.TemporaryDirectory() as folder:
        render(Projects(Path(folder)).source, Path(destination), answers)
    print(f"rendered into {destination}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or any("=" not in word for word in sys.argv[2:]):
        sys.exit("usage: scripts/render DEST [name=value …]")
    main(*sys.argv[1:])
