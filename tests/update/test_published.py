"""
Services that were rendered from a published state and worked on are updated to the working tree.

One row of each kind runs always; the others, every state with every set of answers and every edit, run nightly.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import copier
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from tests.support import questions
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.published import STATES, TODAY, State
from tests.support.releases import UserProject, git
from tests.support.variants import Variant
from tests.update.conftest import History
from tests.update.owners import EDITS, ENDPOINT, LAST_SECTION, OWN, OWN_TESTS, SECRETS, Edit, copied

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
                # A state that asked for no proxy. (It is not asked here: that would take the history to collect tests.)
                if "proxy" in chosen and state is STATES[0]:
                    continue
                marks = () if (str(edit), state.commit, name) in ALWAYS else (pytest.mark.nightly,)
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
    rename(project)

    stored = {question: value for question, value in project.answers.items() if not question.startswith("_")}
    fresh = copied(projects.render(Variant("fresh", {**stored, **edit.today})), tmp_path / "fresh")
    edit.do(fresh, old)
    unlike = contents(fresh)
    rename(fresh)
    assert {path for path, content in contents(fresh).items() if content != unlike[path]} <= {"app/shop/models.py"}
    assert contents(project) == contents(fresh)
    for path in (*SECRETS, "uv.lock"):
        assert (project / path).exists() == (fresh / path).exists(), path
        if (fresh / path).exists():
            assert project.read(path) == fresh.read(path), path
    if edit.subfolder:
        assert (repository / "docs" / "production.md").read_text() == "Of all services.\n"
    if edit.runs:
        boot(project)


def rename(project: UserProject) -> None:
    """
    docs/updating.md, "Names that changed": typed as printed, it puts the new names into the owner's code.
    """
    section = (
        (questions.ROOT / "docs" / "updating.md").read_text().split("## Names that changed\n")[1].split("\n## ")[0]
    )
    (command,) = re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)
    project.run("sh", "-euc", command)


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
    Settle a conflict as docs/updating.md says: what came with the update holds, and one's own is added to it.
    """
    text = project.read(path)
    assert text.count("<<<<<<< before updating\n") == 1, text
    conflict = re.compile(
        r"^<<<<<<< before updating\n(?P<ours>(?s:.*?))^=======\n(?P<new>(?s:.*?))^>>>>>>> after updating\n", re.M
    )
    found = conflict.search(text)
    assert found
    settled = conflict.sub(lambda found: found["new"], text)
    if LAST_SECTION in found["ours"]:
        settled += LAST_SECTION
    if path == "pyproject.toml":
        settled = re.sub(r"^.*  # of the example\n", "", settled, flags=re.M)
    (project / path).write_text(settled)


def boot(project: UserProject) -> None:
    """
    The production server starts, migrates an empty database by the owner's migrations too, and serves what is his. His
    tests pass.
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
    if (project / OWN_TESTS).exists():
        project.run("scripts/test", "-q", OWN_TESTS)


FIRST, SECOND, THIRD = STATES
#: Of targets that were not there when the first state was published.
LATER = {"deploy", "Dockerfile", "compose.yaml"}
#: What every service has since, whatever is answered.
ALL_HAVE = {".gitattributes", "docs"}


def tops(project: Project) -> set[str]:
    return {path.split("/")[0] for path in project.tree()}


def test_a_later_question_brings_nothing_and_can_be_answered_later(history: History, tmp_path: Path) -> None:
    """
    The question of targets came later: an update leaves the answer to the owner, who gives it at any time.

    What he had made himself in the meantime then conflicts: both texts are there, and nothing else does.
    """
    project = history.start(FIRST, "default", {}, tmp_path / "project")
    for name, text in OWN.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    before = tops(project)
    project.update(TODAY)
    assert project.answers["targets"] == []
    assert tops(project) == before | ALL_HAVE
    assert {name: project.read(name) for name in OWN} == OWN

    project.update(TODAY, targets=["vm", "container"])
    assert project.answers["targets"] == ["vm", "container"]
    assert project.answers["proxy"] == "nginx"
    assert tops(project) >= before | LATER
    assert project.conflicts() == sorted(OWN)
    for name, text in OWN.items():
        ours = project.read(name).split("=======\n")[0]
        assert text in ours, name


def test_a_later_question_can_be_answered_at_once(history: History, tmp_path: Path) -> None:
    """
    `copier update --data targets=…` gives a service of the first state what a new one has.
    """
    project = history.start(FIRST, "minimal", answers(FIRST, "minimal"), tmp_path / "project")
    project.update(TODAY, targets="[vm, container]")
    assert project.conflicts() == []
    assert tops(project) >= LATER


def test_a_later_question_proposes_what_the_service_has(history: History, tmp_path: Path) -> None:
    """
    Enter at every question changes nothing, and no question is asked that has no meaning.
    """
    project = history.start(FIRST, "default", {}, tmp_path / "project")
    before = tops(project)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("\r" * len(("name", "slug", "description", "database", "targets")))
        copier.run_update(project.path, vcs_ref=TODAY, overwrite=True, quiet=True, unsafe=False)
    assert project.answers["targets"] == []
    assert tops(project) == before | ALL_HAVE


def test_an_example_that_was_dropped_can_be_answered(history: History, projects: Projects, tmp_path: Path) -> None:
    """
    `--data example=no` says of a service what its owner had done by `make drop-example`: nothing else changes.
    """
    project = history.start(THIRD, "default", {}, tmp_path / "project")
    project.run("scripts/drop-example")
    project.update(TODAY, example="no")
    assert project.conflicts() == []
    assert project.answers["example"] is False
    stored = {question: value for question, value in project.answers.items() if not question.startswith("_")}
    assert contents(project) == contents(projects.render(Variant("fresh", stored)))


def test_the_example_of_an_older_service_stays_or_goes_as_its_owner_says(history: History, tmp_path: Path) -> None:
    """
    Unasked it stays; told to go, in the update that knows the question first, it goes and its migration stays.
    """
    project = history.start(FIRST, "default", {}, tmp_path / "project")
    migration = project.read("migrations/versions/0001_items.py")
    project.update(TODAY)
    assert project.answers["example"] is True
    assert (project / "app/items/router.py").exists()
    other = history.start(FIRST, "default", {}, tmp_path / "other")
    other.update(TODAY, example="no")
    for service in (project, other):
        assert service.conflicts() == []
        assert service.read("migrations/versions/0001_items.py") == migration
    assert not (other / "app/items").exists()


def test_a_better_default_is_for_new_services(history: History, tmp_path: Path) -> None:
    """
    Compose left the default of `targets`: a service that has it keeps it.
    """
    project = history.start(THIRD, "default", {}, tmp_path / "project")
    assert "compose.yaml" in tops(project)
    project.update(TODAY)
    assert project.answers["targets"] == ["vm", "container"]
    assert "compose.yaml" in tops(project)


def test_a_new_service_is_asked_what_it_needs(history: History, tmp_path: Path) -> None:
    """
    Enter everywhere renders what `--defaults` does.
    """
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("\r" * len(("name", "slug", "description", "database", "targets", "proxy", "domain")))
        copier.run_copy(str(history.path), tmp_path / "asked", vcs_ref=TODAY, quiet=True, unsafe=False)
    default = history.copy(tmp_path / "default", TODAY)
    asked = UserProject(tmp_path / "asked", default.variant)
    assert asked.answers["targets"] == ["vm", "image"]
    assert contents(asked) == contents(default)


def test_a_name_that_was_reserved_later_is_kept(history: History, tmp_path: Path) -> None:
    """
    Copier would put the default in place of a stored answer that is refused. The name stays, in all updates after
    this one, and only the target that it would harm is refused, before anything is changed.
    """
    project = history.start(FIRST, "grafana", {"project_slug": "grafana"}, tmp_path / "project")
    project.update(TODAY)
    assert project.answers["project_slug"] == "grafana"
    assert 'name = "grafana"' in project.read("pyproject.toml")
    project.update(TODAY)
    assert project.answers["project_slug"] == "grafana"
    project.commit("updated")
    with pytest.raises(ValueError, match="Take vm out"):
        project.update(TODAY, targets=["vm"])
    assert project.changed() == []
    project.update(TODAY, targets=["kubernetes"])
    assert project.answers["project_slug"] == "grafana"


def test_the_recipe_finds_what_was_edited_in_files_that_leave(history: History, tmp_path: Path) -> None:
    """
    docs/updating.md, "Files that leave": typed as printed, it names the files that the owner changed or added there.
    """
    document = (questions.ROOT / "docs" / "updating.md").read_text()
    section = document.split("## Files that leave\n")[1].split("\n## ")[0]
    find, rescue = re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)
    project = history.start(SECOND, "default", {}, tmp_path / "project")
    leaving = "deploy/release/__main__.py"
    with (project / leaving).open("a") as file:
        file.write("# Ours.\n")
    added = ["tests/release/test_ours.py", "tests/serving/test_ours.py"]
    for name in added:
        (project / name).write_text("# Ours.\n")
    edited = "tests/core/test_problems.py"
    with (project / edited).open("a") as file:
        file.write("# Ours.\n")
    project.commit("ours, in the commit after the first or in the first itself")
    git(project.path, "reset", "-q", "--soft", git(project.path, "rev-list", "--max-parents=0", "HEAD").strip())
    git(project.path, "commit", "-q", "--amend", "-m", "start")

    uvx = tmp_path / "bin" / "uvx"
    uvx.parent.mkdir()
    uvx.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -m copier "$@"\n')
    uvx.chmod(0o755)
    path = {"PATH": f"{uvx.parent}:{os.environ['PATH']}"}
    said = project.run("sh", "-euc", find, env=path).stdout
    assert sorted(said.splitlines()[-4:]) == [leaving, edited, *added], said
    assert project.changed() == []

    (project / leaving).unlink()
    project.run("sh", "-euc", rescue.replace("deploy/release/…", leaving))
    kept = [name for name in project.changed() if name != leaving]
    assert len(kept) == 1
    assert project.read(kept[0]).endswith("# Ours.\n")

    project.update(TODAY)
    assert project.conflicts() == []
    assert not (project / edited).exists()
    for name in (*added, kept[0]):
        assert project.read(name).endswith("# Ours.\n"), name
