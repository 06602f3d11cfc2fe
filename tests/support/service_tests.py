"""
The tests of template code, which users need not own: kept in tests/service/, put into a rendered project and run there.

They are in the folder of the code that they test, hold no guards, and import each other as `tests.service.…`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import questions
from tests.support.project import LITTER, Project

#: Where they are, in this repository and in a project that they were put into.
PLACE = "tests/service"
SOURCE = questions.ROOT / PLACE
#: Code that not every service has, and the tests that it takes along.
OWNED = {
    "app/database": ("database/",),
    "app/database/backends/postgresql.py": ("database/relay.py", "database/test_postgresql"),
    "app/rate_limit": ("rate_limit/",),
    "serving/healthcheck.py": ("serving/test_healthcheck.py",),
}


def everything() -> list[str]:
    """
    All of their files, helpers included.
    """
    paths = [path for path in SOURCE.rglob("*") if path.is_file()]
    return sorted(path.relative_to(SOURCE).as_posix() for path in paths if not LITTER & set(path.parts))


def fitting(project: Path) -> list[str]:
    """
    The files for a project: all, but those whose code is not rendered there.
    """
    absent = tuple(name for code, names in OWNED.items() if not (project / code).exists() for name in names)
    return [name for name in everything() if not name.startswith(absent)]


def put_into(project: Path) -> None:
    """
    Add those that fit. Times are kept, for mypy's cache.
    """
    for name in fitting(project):
        target = project / PLACE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(SOURCE / name, target)


def with_service_tests(project: Project, destination: Path) -> Project:
    """
    A copy of a project that has them.
    """
    copy = project.copy(destination)
    put_into(copy.path)
    return copy
