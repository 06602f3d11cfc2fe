"""
Services that were rendered from a published state and worked on are updated to the working tree.

One row of each kind runs always; all of them, every state with every set of answers and every edit, by `-m full`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.published import STATES, TODAY, State
from tests.support.releases import UserProject, git
from tests.support.variants import Variant
from tests.update.conftest import History
from tests.update.owners import EDITS, ENDPOINT, OWN, SECRETS, Edit, copied

SETS: dict[str, dict[str, Any]] = {
    "default": {},
    "minimal": {"database": "none", "targets": [], "app_rate": "none", "ci": "none"},
    "sqlite": {"database": "sqlite"},
    "caddy": {"proxy": "caddy", "domain": "shop.example.net"},
}
#: One row of each kind: each edit, each state, and each set of each state occur.
ALWAYS = {
    ("feature", "98325d4", "default"),
    ("number", "21037e2", "minimal"),
    ("readme", "2e535d6", "caddy"),
    ("pipeline", "98325d4", "sqlite"),
    ("dependency", "21037e2", "caddy"),
    ("lock", "2e535d6", "minimal"),
    ("ignored", "98325d4", "minimal"),
    ("dropped", "98325d4", "default"),
    ("dropped", "2e535d6", "default"),
    ("renamed", "21037e2", "sqlite"),
    ("own", "98325d4", "default"),
    ("deleted", "21037e2", "default"),
    ("everything", "2e535d6", "sqlite"),
    ("subfolder", "98325d4", "default"),
}


def answers(state: State, name: str) -> dict[str, Any]:
    """
    A set of answers, as far as the state knew the questions.
    """
    return {question: value for question, value in SETS[name].items() if question in state.asked}


def rows() -> list[Any]:
    found = []
    for edit in EDITS:
        for state in STATES:
            for name, chosen in SETS.items():
                if chosen and name == "caddy" and "proxy" not in state.asked:
                    continue
                marks = () if (str(edit), state.commit, name) in ALWAYS else (pytest.mark.full,)
                found.append(pytest.param(edit, state, name, id=f"{edit}-{state}-{name}", marks=marks))
    return found


def test_one_row_of_each_kind_runs_always() -> None:
    """
    The rows that run always are rows, and have every edit, state and set.
    """
    found = {(str(row.values[0]), row.values[1].commit, row.values[2]) for row in rows()}
    assert found >= ALWAYS
    for column in range(3):
        assert {row[column] for row in ALWAYS} == {row[column] for row in found}
    assert {row[1:] for row in ALWAYS} == {row[1:] for row in found}


@pytest.mark.parametrize(("edit", "state", "name"), rows())
def test_an_update_keeps_what_owners_did(
    history: History, projects: Projects, tmp_path: Path, edit: Edit, state: State, name: str
) -> None:
    """
    Nothing conflicts, nothing is lost, and the result is a fresh rendering with the same edits.
    """
    repository = tmp_path / "work"
    place = repository / "services" / "shop" if edit.subfolder else repository
    project = history.start(state, name, answers(state, name), place)
    old = copied(project, tmp_path / "old")
    if edit.subfolder:
        shutil.rmtree(place / ".git")
        (repository / "README.md").write_text("Many services.\n")
        (repository / "docs").mkdir()
        (repository / "docs" / "production.md").write_text("Of all services.\n")
        git(repository, "init", "-q")
    edit.do(project, old)
    project.update(TODAY)

    expected = edit.conflicts.get(state.commit, [])
    assert project.conflicts() == expected
    for conflicting in expected:
        settle(project, conflicting)
    kept = {path: (place / path).read_text() for path in (*SECRETS, "uv.lock") if (old.path / path).exists()}
    assert kept == {}, "the rendering has none of them"

    stored = {question: value for question, value in project.answers.items() if not question.startswith("_")}
    fresh = copied(projects.render(Variant("fresh", stored)), tmp_path / "fresh")
    edit.do(fresh, old)
    assert contents(project) == contents(fresh)
    for path in (*SECRETS, "uv.lock"):
        assert (project / path).exists() == (fresh / path).exists(), path
        if (fresh / path).exists():
            assert project.read(path) == fresh.read(path), path
    if edit.subfolder:
        assert (repository / "docs" / "production.md").read_text() == "Of all services.\n"
    if edit.runs:
        boot(project)


def contents(project: Project) -> dict[str, Any]:
    """
    Every file with its permission to be run; the answers file is copier's own.
    """
    return {
        path: ((project / path).read_bytes(), bool((project / path).stat().st_mode & 0o100))
        for path in project.tree()
        if path != ".copier-answers.yml"
    }


def settle(project: UserProject, path: str) -> None:
    """
    Settle conflicts as docs/updating.md says: what comes after the update holds.
    """
    text = project.read(path)
    assert text.count("<<<<<<< before updating\n") == 1, text
    settled = re.sub(
        r"<<<<<<< before updating\n(?s:.*?)^=======\n(?P<new>(?s:.*?))^>>>>>>> after updating\n",
        r"\g<new>",
        text,
        flags=re.M,
    )
    (project / path).write_text(settled)


def boot(project: UserProject) -> None:
    """
    The production server starts, migrates an empty database by the owner's migrations too, and serves what is his.
    """
    shutil.rmtree(project / "var", ignore_errors=True)
    (project / "uv.lock").unlink(missing_ok=True)
    for path in (".env", ".env.production"):
        (project / path).unlink(missing_ok=True)
    project.sync()
    with project.serve(workers=1, env={"SHOP_CURRENCY": "CHF"}) as service:
        assert service.client.get("/ready").status_code == 200
        if (project / "app" / "shop").exists():
            answer = service.client.get(ENDPOINT)
            assert answer.status_code == 200, answer.text
            assert answer.json()["currency"] == "CHF"
