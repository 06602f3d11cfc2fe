"""
The rendered documents: what they tell to type exists, and every page is reached.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import questions
from tests.support.commands import Commands, said, typed
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, named, of, pairwise, variants


def documents(project: Project) -> dict[str, str]:
    """
    Every Markdown file of a project, by its path.
    """
    return {name: project.read(name) for name in project.tree() if name.endswith(".md")}


def repository() -> dict[str, str]:
    """
    The documents of the template itself, by path. Decisions are records of what was once.
    """
    paths = [questions.ROOT / "README.md", *sorted((questions.ROOT / "docs").glob("*.md"))]
    return {path.relative_to(questions.ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@variants(pairwise)
def test_commands_of_the_documents_work(projects: Projects, variant: Variant, tmp_path: Path) -> None:
    """
    Every command of a document is taken by what it calls: make, the scripts of `deploy/`, the program on the host.
    """
    project = projects.render(variant)
    commands = commands_of(project, tmp_path)
    faults = {name: commands.faults(typed(text)) for name, text in documents(project).items()}
    assert not {name: found for name, found in faults.items() if found}


@variants(pairwise)
def test_commands_of_messages_work(projects: Projects, variant: Variant, tmp_path: Path) -> None:
    """
    Commands in the messages, comments and workflows of other files are taken as well.
    """
    project = projects.render(variant)
    commands = commands_of(project, tmp_path)
    others = [name for name in project.tree() if not name.endswith((".md", ".lock")) and not name.startswith("tests/")]
    faults = {name: commands.faults(said(project.read(name))) for name in others}
    assert not {name: found for name, found in faults.items() if found}


@variants(pairwise)
def test_units_that_are_named_exist(projects: Projects, variant: Variant, tmp_path: Path) -> None:
    """
    A unit of this service, wherever it is named, is one that set-up installs.
    """
    project = projects.render(variant)
    commands = commands_of(project, tmp_path)
    faults = {name: commands.unknown_units(project.read(name)) for name in project.tree()}
    assert not {name: found for name, found in faults.items() if found}


@pytest.mark.parametrize("name", repository())
def test_commands_of_the_repository_work(projects: Projects, name: str, tmp_path: Path) -> None:
    """
    README and docs/ of the template show commands of a rendered service, and of the template.
    """
    everything = of(targets=["vm", "container", "kubernetes"])
    commands = Commands(projects.render(everything), tmp_path / "project", more=questions.ROOT)
    text = repository()[name]
    assert commands.faults(typed(text)) == []
    # What the recipe for old machines removes has the names of then.
    assert commands.unknown_units(text) <= {"my-service-migrate@.service", "my-service-responder.service"}


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("make doctor HOST=$HOST", "no make doctor"),
        ("make deploy HOSTS=$HOST", "knows no HOSTS"),
        ("make deploy HOST=$HOST ARGS=--force", "unrecognized arguments: --force"),
        ("make setup HOST=$HOST ARGS=--install", "does not take"),
        ("deploy/remote $HOST list", "invalid choice: 'list'"),
        ("deploy/remote $HOST secret", "required: name"),
        ("deploy/build --for 3.13", "no PYTHON MACHINE"),
        ("/opt/my-service/release deploy <FILE", "required: name"),
        ("systemctl reload-or-start my-service.target", "no reload-or-start"),
        ("ssh $HOST systemctl restart my-service", "no unit my-service.service"),
    ],
)
def test_a_wrong_command_is_found(projects: Projects, command: str, fault: str, tmp_path: Path) -> None:
    """
    The tests above would say so.
    """
    (found,) = commands_of(projects.render(named("default")), tmp_path).faults([command])
    assert fault in found


def test_a_wrong_unit_is_found(projects: Projects, tmp_path: Path) -> None:
    """
    Not by its beginning: one hyphen instead of two is the unit of another service.
    """
    commands = commands_of(projects.render(named("default")), tmp_path)
    assert commands.unknown_units("journalctl -u 'my-service--migrate@*', my-service@12, my-service.socket") == set()
    assert commands.unknown_units("journalctl -u 'my-service-migrate@*'") == {"my-service-migrate@.service"}
    assert commands.unknown_units("journalctl -t my-services") == {"my-services"}


def commands_of(project: Project, folder: Path) -> Commands:
    """
    The commands that can be typed in a project.
    """
    return Commands(project, folder / "project")


@variants(pairwise)
def test_documents_that_are_named_exist(projects: Projects, variant: Variant) -> None:
    """
    A file that says `docs/something.md` means one of this project, or says that it is the template's.
    """
    project = projects.render(variant)
    named_by = {
        (name, target, bool(of_template))
        for name in project.tree()
        for target, of_template in re.findall(
            r"(?<![\w.])(docs/[\w-]+\.md)( of the template)?", re.sub(r"https?://\S+", "", project.read(name))
        )
    }
    places = {True: questions.ROOT, False: project.path}
    assert not {(name, target) for name, target, template in named_by if not (places[template] / target).exists()}


def test_make_says_what_is_missing(projects: Projects) -> None:
    """
    Without the one word that it needs, the target says what to type.
    """
    project = projects.render(named("default"))
    done = project.run("make", "secret", check=False)
    assert done.returncode == 2
    assert "make secret NAME=" in done.stdout.splitlines()[0]


@pytest.mark.parametrize(("given", "hosts"), [([], "here"), (["HOST=a b"], "a b")])
def test_an_exported_host_is_not_the_target(projects: Projects, given: list[str], hosts: str, tmp_path: Path) -> None:
    """
    Some shells export HOST, this machine's own name; only what is given to make is deployed to.
    """
    project = commands_of(projects.render(named("default")), tmp_path).project
    done = project.run("make", "deploy", *given, env={"HOST": "laptop"})
    assert done.stdout == f"called\tremote\t{hosts}\tdeploy\n"


@variants(pairwise)
def test_every_page_is_reached(projects: Projects, variant: Variant) -> None:
    """
    Links lead from the README to every other page.
    """
    project = projects.render(variant)
    pages = documents(project)
    reached, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for target in re.findall(r"\]\(([^):#]+)", pages[name]):
            path = Path(project / name).parent.joinpath(target).resolve().relative_to(project.path.resolve()).as_posix()
            if path in pages and path not in reached:
                waiting.append(path)
    assert set(pages) - reached - {"AGENTS.md", "CHANGELOG.md"} == set()


@variants(pairwise)
def test_the_page_for_developers_is_short(projects: Projects, variant: Variant) -> None:
    """
    It is read while something is added, so it fits on two screens.
    """
    assert len(projects.render(variant).read("docs/develop.md").splitlines()) <= 80


@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        ("api.example.com", "api.your-company.com"),
        ("example.com", "api.your-company.com"),
        ("shop.acme.io", "shop.acme.io"),
        ("notexample.com", "notexample.com"),
    ],
)
def test_the_walk_through_shows_no_domain_that_is_refused(projects: Projects, domain: str, shown: str) -> None:
    """
    The set-up refuses example.com, so a line with it could not be typed.
    """
    assert questions.evaluate({"domain": domain})["shown_domain"] == shown
    text = projects.render(named("default")).read("docs/production.md")
    assert "DOMAIN=api.your-company.com " in text
    assert "example.com" not in text
