"""
The template itself, unrendered: guards stand alone, seams are valid as they are, and updates cannot trip over a name.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import jinja2.meta
import pytest

from tests.support import questions, scatter

SEAMS = list(scatter.SEAMS)


def test_only_the_seams_hold_guards() -> None:
    """
    The list of seams is exact.
    """
    found = [path for path, text in scatter.templated().items() if scatter.guards(text)]
    assert found == SEAMS
    assert len(SEAMS) <= scatter.SEAM_LIMIT


@pytest.mark.parametrize("path", SEAMS)
def test_guards_stand_alone(path: str) -> None:
    """
    A guard is a whole line, is an `if` or its end, and is balanced. Alternatives are whole files.
    """
    depth = 0
    for line in scatter.templated()[path].splitlines():
        if "{%" not in line:
            continue
        assert re.fullmatch(r" *# \{% (if (not )?\w+|endif) %\}", line), line
        depth += 1 if " if " in line else -1
        assert depth in (0, 1), f"nested or unbalanced: {line}"
    assert depth == 0


@pytest.mark.parametrize("path", SEAMS)
def test_seams_are_valid_unrendered(path: str) -> None:
    """
    Editors and bots can read a seam: it is the superset from which options remove.
    """
    text = scatter.templated()[path]
    quoted = scatter._VALUE.sub("0", text)
    if path.endswith(".py.jinja"):
        ast.parse(quoted)
    elif path.endswith(".toml.jinja"):
        tomllib.loads(quoted)


def test_the_constraints_are_the_last_table() -> None:
    """
    Additions of the template to pyproject.toml come before them, so they never meet tables that an owner has appended.
    """
    text = scatter.templated()["pyproject.toml.jinja"]
    assert re.findall(r"^\[(.+)\]$", text, re.M)[-1] == "tool.uv"
    assert text.endswith("    # constraints: end\n]\n")


def test_no_path_depends_on_an_answer() -> None:
    """
    The answers file is the only one with a templated name: Copier wants it so.
    """
    names = [path for path in scatter.files() if re.search(r"[{}%]", path.name)]
    assert [path.name for path in names] == ["{{ _copier_conf.answers_file }}.jinja"]


def test_templated_files_need_to_be() -> None:
    """
    A file ends in .jinja only when it substitutes a value or holds a guard.
    """
    assert not [path for path, text in scatter.templated().items() if not re.search(r"\{\{|\{%", text)]


def test_what_is_not_templated_holds_no_guard() -> None:
    """
    A guard in a file that is copied verbatim would reach the user.
    """
    for path in scatter.files():
        if path.suffix != ".jinja":
            assert "# {%" not in path.read_text(encoding="utf-8"), path


def guarded() -> list[tuple[str, str]]:
    return [
        (document, entry)
        for document, entries in questions.documents().items()
        for entry in entries.get("_exclude", [])
    ]


@pytest.mark.parametrize(("document", "entry"), guarded())
def test_ownership_tolerates_old_answers(document: str, entry: str) -> None:
    """
    On update the old answers meet the new guards: each name is tested with `is defined` first.
    """
    (condition,) = re.findall(r"# \{% if (.*?) %\}", entry)
    names = jinja2.meta.find_undeclared_variables(questions.environment().parse(f"{{{{ {condition} }}}}"))
    for name in names:
        first = re.search(rf"\b{name}\b( is defined)?", condition)
        assert first, condition
        assert first[1], f"features/{document}.yml: write `{name} is defined and …`"
    assert questions.environment().from_string(entry).render().strip() == "", "without the answer nothing is excluded"


@pytest.mark.parametrize(("document", "entry"), guarded())
def test_owned_paths_exist(document: str, entry: str) -> None:
    """
    A feature owns files that are there, each named from the root, folders without a trailing slash.
    """
    for line in entry.splitlines():
        if line.startswith("# {%") or not line.strip():
            continue
        assert line.startswith("/"), line
        assert not line.endswith("/"), line
        path = scatter.TEMPLATE / line[1:]
        assert path.exists() or Path(f"{path}.jinja").exists(), f"features/{document}.yml owns {line}, which is nowhere"


def test_documents_hold_no_settings() -> None:
    """
    A setting in a later document would overwrite the one in copier.yml. Lists concatenate; only they may be spread.
    """
    for document, entries in questions.documents().items():
        assert {name for name in entries if name.startswith("_")} <= {"_exclude", "_skip_if_exists"}, document


def test_every_document_is_included() -> None:
    """
    The index lists every feature document, one per line.
    """
    assert sorted(questions.documents()) == sorted(path.stem for path in (questions.ROOT / "features").glob("*"))
