"""
Move the constraints in template/pyproject.toml.jinja: the exact set of versions that the tests run with.

The set is a real resolution, for Python 3.11 and later at once, of what renders today. Three variants are resolved, so
that each version stands under the guard of the option that brings its package.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from pathlib import Path

from tests.support import variants
from tests.support.project import Project
from tests.support.projects import Projects, render
from tests.support.questions import ROOT

SEAM = ROOT / "template" / "pyproject.toml.jinja"
BLOCK = re.compile(r"(    # constraints: begin\n).*?(    # constraints: end\n)", re.S)


def resolve(project: Project) -> dict[str, str]:
    """
    The newest versions a project may have, by package.
    """
    text = project.read("pyproject.toml")
    (project / "pyproject.toml").write_text(BLOCK.sub(r"\1\2", text))
    project.run("uv", "lock", "--upgrade")
    packages = tomllib.loads(project.read("uv.lock"))["package"]
    found: dict[str, str] = {}
    for package in packages:
        if "registry" in package["source"]:
            # A package that needs different versions on different systems is left to the resolver.
            found[package["name"]] = "" if package["name"] in found else package["version"]
    return {name: version for name, version in found.items() if version}


def lines(packages: dict[str, str], guard: str = "") -> str:
    """
    A part of the block, under a guard.

    The spaces tell these lines from those of the states in which this table was not the last: an update moves the
    table, and not all that came after it, which owners do edit.
    """
    body = "".join(f'    "{name} == {version}",\n' for name, version in sorted(packages.items()))
    return f"    # {{% if {guard} %}}\n{body}    # {{% endif %}}\n" if guard and body else body


def main() -> None:
    """
    Resolve and rewrite.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Projects(Path(folder)).source
        resolved = {}
        for database in ("none", "sqlite", "postgresql"):
            variant = variants.of(database=database)
            render(source, Path(folder) / database, variant.answers)
            resolved[database] = resolve(Project(Path(folder) / database, variant))
    none, sqlite, postgresql = resolved["none"], resolved["sqlite"], resolved["postgresql"]
    block = (
        lines(none)
        + lines({name: version for name, version in sqlite.items() if name not in none}, "has_database")
        + lines({name: version for name, version in postgresql.items() if name not in sqlite}, "has_postgresql")
    )
    text, count = BLOCK.subn(lambda match: match[1] + block + match[2], SEAM.read_text())
    if count != 1:
        raise SystemExit(f"{SEAM}: the markers of the constraints are missing")
    SEAM.write_text(text)
    print(block, end="")


if __name__ == "__main__":
    main()
