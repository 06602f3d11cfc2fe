"""
Every import is declared, and every declaration is used.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib

import pytest

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.questions import levels
from tests.support.variants import Variant, of

#: Production code, and what it runs on.
PRODUCTION = ("app/", "serving/", "migrations/", "gunicorn.conf.py")
#: Used without being imported here: programs, plugins, drivers that a URL names, and what the test client stands on.
UNIMPORTED = {"aiosqlite", "asyncpg", "fastapi-cli", "httpx2", "mypy", "pytest-cov", "ruff"}
FIRST_PARTY = {"app", "serving", "tests", "migrations", "release"}

MAPPING = "import importlib.metadata as m, json; print(json.dumps(m.packages_distributions()))"


def imports(project: Project, *, places: tuple[str, ...] = PRODUCTION, elsewhere: bool = False) -> set[str]:
    """
    The top-level modules of others that the code in these places, or elsewhere, imports.
    """
    found: set[str] = set()
    for name in project.tree():
        if elsewhere == name.startswith(places):
            continue
        text = project.read(name)
        if not (name.endswith(".py") or text.startswith("#!/usr/bin/env python")):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - FIRST_PARTY - {"_typeshed"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=~\[; ]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("variant", [of(database=database) for database in levels()["database"]], ids=str)
def test_declared_is_what_is_used(projects: Projects, variant: Variant) -> None:
    """
    Production imports only production dependencies; none is declared in vain.
    """
    project = projects.render(variant).sync()
    config = tomllib.loads(project.read("pyproject.toml"))
    declared = names(config["project"]["dependencies"])
    development = names(config["dependency-groups"]["dev"])
    mapping: dict[str, list[str]] = json.loads(project.run(project.bin / "python", "-c", MAPPING).stdout)

    def distributions(modules: set[str]) -> set[str]:
        return {mapping[module][0].lower().replace("_", "-") for module in modules}

    used = distributions(imports(project))
    assert used - declared == set(), "imported in production, not declared"
    assert declared - used - UNIMPORTED == set(), "declared, not used"

    used_anywhere = used | distributions(imports(project, elsewhere=True))
    assert used_anywhere - declared - development == set(), "imported in tests or scripts, not declared"
    assert development - used_anywhere - UNIMPORTED == set(), "declared for development, not used"


def test_the_release_tool_needs_nothing(projects: Projects) -> None:
    """
    It runs on a host before anything is installed there.
    """
    assert imports(projects.render(of()), places=("deploy/",)) == set()
