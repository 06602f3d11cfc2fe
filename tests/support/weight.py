"""
The weight of a rendered service: files and lines by directory, of the three named variants. `make weight` prints it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import three

#: Files and lines by directory; what is deeper than two levels counts for the second.
Weights = Mapping[str, tuple[int, int]]
TOTAL = "all"


def weigh(project: Project) -> Weights:
    """
    Files and lines, by directory, and of all together. The lock is not among them.
    """
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for name in project.tree():
        for row in ("/".join(PurePosixPath(name).parent.parts[:2]) or ".", TOTAL):
            files[row] += 1
            lines[row] += len(project.read(name).splitlines())
    return {row: (files[row], lines[row]) for row in files}


def below(weights: Weights, directory: str) -> tuple[int, int]:
    """
    A directory with all that is in it.
    """
    rows = [weight for row, weight in weights.items() if f"{row}/".startswith(f"{directory}/")]
    return sum(files for files, _ in rows), sum(lines for _, lines in rows)


def table(weights: Mapping[str, Weights]) -> str:
    """
    One column per variant, as text.
    """
    rows = sorted({row for found in weights.values() for row in found} - {TOTAL})
    out = [f"{'files, lines':<22}" + "".join(f"{name:>14}" for name in weights)]
    for row in (*rows, TOTAL):
        cells = [found.get(row, (0, 0)) for found in weights.values()]
        out.append(f"{row:<22}" + "".join(f"{files:>7}{lines:>7}" if files else f"{'':14}" for files, lines in cells))
    return "\n".join(out)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        projects = Projects(Path(folder))
        print(table({variant.id: weigh(projects.render(variant)) for variant in three()}))
