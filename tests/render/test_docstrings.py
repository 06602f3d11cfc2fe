"""
The first line of a docstring is a noun phrase or an imperative, in the template and in this repository.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import LITTER
from tests.support.questions import ROOT

#: Folders with Python.
FOLDERS = ("benchmarks", "scripts", "template", "tests")
CLAUSE = re.compile(r"(what|who|whom|whose|whether|how|where|which)(ever)?\b", re.I)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def is_python(path: Path) -> bool:
    """
    Tell by the name or, where that says nothing, by the first line.
    """
    by_name = path.name.endswith((".py", ".py.jinja"))
    return by_name or re.match(rb"#!.*python", path.read_bytes()) is not None


def sources() -> list[Path]:
    """
    Every file of Python, rendered or not.
    """
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(path for path in paths if not LITTER & set(path.parts) and is_python(path))


def clauses(text: str) -> Iterator[str]:
    """
    The first lines that begin as a clause, each with the line of what it documents.
    """
    # Guards are comments, so a file is valid before it is rendered, but for values in the place of a name.
    for node in ast.walk(ast.parse(re.sub(r"\{\{ .*? \}\}", "value", text))):
        if isinstance(node, DOCUMENTED):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if CLAUSE.match(first):
                yield f"{getattr(node, 'lineno', 1)}: {first}"


def test_docstrings_say_it_plainly() -> None:
    """
    No first line is a clause that has to be solved: `The connections of a worker`, not `How many a worker opens`.
    """
    found = sources()
    names = {path.relative_to(ROOT).as_posix() for path in found}
    # Each kind of file is among them: rendered as it is, by Jinja, a script without a suffix, and the tests.
    kinds = {
        "template/app/main.py.jinja",
        "template/app/core/feature.py",
        "template/scripts/prove",
        "tests/conftest.py",
    }
    assert kinds <= names
    faults = [
        f"{path.relative_to(ROOT)}:{fault}" for path in found for fault in clauses(path.read_text(encoding="utf-8"))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("word", ["What", "Who", "Whom", "Whether", "How", "Where", "Which", "Whoever"])
@pytest.mark.parametrize(
    "form", ['"""{} it is."""', 'class A:\n    """\n    {} it is.\n    """', 'async def f():\n    """{} it is."""']
)
def test_a_clause_is_found(form: str, word: str) -> None:
    """
    The test above would say so, wherever the docstring is.
    """
    assert [fault.partition(": ")[2] for fault in clauses(form.format(word))] == [f"{word} it is."]
