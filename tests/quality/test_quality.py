"""
A rendered project passes its own checks, in its own environment, as locked and as a user gets it today. So do the tests
of its code that are not rendered: they are put into a copy of it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.questions import levels
from tests.support.service_tests import PLACE, SOURCE, everything, fitting, with_service_tests
from tests.support.stack import Postgres
from tests.support.variants import Variant, each_value, named, of, variants

CONSTRAINTS = re.compile(r"^constraint-dependencies = \[.*?^\]\n", re.M | re.S)
#: Each database, with and without something that has no routes of its own. The default is among the values of options.
WITHOUT = [
    of(example=False, database=database, app_rate=rate)
    for database in levels()["database"]
    for rate in ("none", "100")
    if (database, rate) != ("postgresql", "none")
]

#: What its own checks do not read: the CI of its host, documents, what containers are made of, the record of the answers.
UNREAD = (
    *(".copier-answers.yml", ".dockerignore", ".github/", ".gitlab", "Dockerfile", "README.md", "compose", "docs/"),
    *("deploy/compose/", "deploy/kubernetes/", "deploy/nginx/", "renovate.json", "scripts/compose.mk"),
    *("scripts/kubernetes", "scripts/smoke_image_compose.sh"),
)
#: What its tests look at, beside the dependencies and the options of pytest.
TESTED = (".env.example", "alembic.ini", "app/", "gunicorn.conf.py", "migrations/", "serving/", "tests/")
#: Leaves out the rendered test that boots the server: tests/boot does so in every variant.
SERVED = "--ignore=tests/test_production_server.py"
#: The serving layer: the service tests that boot a server read this, and neither the example nor the database.
SERVING = ("gunicorn.conf.py", "serving/")


def files(project: Project, *, read: Callable[[str], bool]) -> dict[str, bytes]:
    """
    Those of a project that are read.
    """
    return {name: (project / name).read_bytes() for name in project.tree() if read(name)}


def before(projects: Projects, variant: Variant) -> list[Project]:
    """
    The projects of the variants that come first.
    """
    return [projects.render(other) for other in each_value()[: each_value().index(variant)]]


def has_twin(projects: Projects, variant: Variant) -> bool:
    """
    Tell whether an earlier variant renders the same, as far as its checks look at it: then that one is tested.
    """

    def is_read(name: str) -> bool:
        return not name.startswith(UNREAD)

    own = files(projects.render(variant), read=is_read)
    return any(files(other, read=is_read) == own for other in before(projects, variant))


def is_tested(projects: Projects, variant: Variant) -> bool:
    """
    Tell whether the tests of an earlier variant are the same, and what they test.
    """

    def tested(project: Project) -> tuple[object, ...]:
        options = tomllib.loads(project.read("pyproject.toml"))["tool"]["pytest"]
        return project.fingerprint, options, files(project, read=lambda name: name.startswith(TESTED))

    own = tested(projects.render(variant))
    return any(tested(other) == own for other in before(projects, variant))


def booting(project: Project) -> set[str]:
    """
    The service tests for a project that boot servers, for most of a minute.
    """
    found = {name for name in fitting(project.path) if "serve: Serve" in (SOURCE / name).read_text()}
    assert found
    return found


def booted(projects: Projects, variant: Variant) -> set[str]:
    """
    Those of them that an earlier variant has run, on a serving layer of which nothing is other here.

    There may be more of it here, and other numbers: these tests set their own.
    """

    def layer(project: Project) -> dict[str, bytes]:
        read = files(project, read=lambda name: name.startswith(SERVING))
        return {name: re.sub(rb"\d+", b"0", content) for name, content in read.items()}

    own = layer(projects.render(variant)).items()
    return {name for other in before(projects, variant) if layer(other).items() <= own for name in booting(other)}


def without(ignored: Iterable[str]) -> list[str]:
    """
    The options that leave out some of the service tests.
    """
    return [f"--ignore={PLACE}/{name}" for name in sorted(ignored)]


def test_every_service_test_has_a_project(projects: Projects) -> None:
    """
    The maximal variant has all the code that they test: none is left out because a name is out of date.
    """
    assert fitting(projects.render(named("maximal")).path) == everything()


@variants(each_value)
def test_lint(projects: Projects, variant: Variant, workplace: Path) -> None:
    """
    Style, format and strict types are clean, and those of the tests that are put into it by the rules of the project.
    """
    if has_twin(projects, variant):
        return
    with_service_tests(projects.render(variant).sync(), workplace).run("scripts/lint")


@variants(each_value)
def test_suite(projects: Projects, variant: Variant, workplace: Path) -> None:
    """
    All these tests pass on the embedded database, and warn of nothing.
    """
    if is_tested(projects, variant):
        return
    project = with_service_tests(projects.render(variant).sync(), workplace)
    project.run("scripts/test", "-q", SERVED, *without(booted(projects, variant)))


@variants(lambda: [named("default"), named("minimal"), of(example=False)])
def test_what_is_rendered_needs_nothing_else(projects: Projects, variant: Variant) -> None:
    """
    Without the tests that are put into it a service is clean, and its own tests pass: also the one that boots its server.
    """
    project = projects.render(variant).sync()
    project.run("scripts/lint")
    project.run("scripts/test", "-q")


@variants(lambda: [named("default"), of(example=False)])
def test_suite_on_a_real_database(projects: Projects, postgres: Postgres, workplace: Path, variant: Variant) -> None:
    """
    With DATABASE_URL all these tests pass on PostgreSQL, as in its CI, after the migrations have run.
    """
    project = with_service_tests(projects.render(variant).sync(), workplace)
    database = {"DATABASE_URL": postgres.create_database()}
    project.run("make", "migrate", env=database)
    project.run("scripts/test", "-q", SERVED, *without(booting(project)), env=database)


@pytest.mark.nightly
@pytest.mark.xdist_group("newest")
def test_newest_versions(projects: Projects, workplace: Path) -> None:
    """
    Without the constraints, as of today: what a dependency released this morning breaks, is seen here.
    """
    project = with_service_tests(projects.render(named("default")), workplace)
    text, count = CONSTRAINTS.subn("", project.read("pyproject.toml"))
    assert count == 1
    (project / "pyproject.toml").write_text(text)
    project = Project(project.path, project.variant, environment=workplace / ".venv")
    project.run("uv", "sync", "--upgrade")
    project.run("scripts/lint")
    project.run("scripts/test", "-q")


@variants(lambda: WITHOUT)
def test_the_example_is_needed_by_nothing(projects: Projects, variant: Variant, workplace: Path) -> None:
    """
    A service without it passes everything, with each database and where the application counts requests.
    """
    project = with_service_tests(projects.render(variant).sync(), workplace)
    assert not [path for path in project.tree() if re.search(r"\b(items|quotes)\b|_items", path)]
    project.run("scripts/lint")
    project.run("scripts/test", "-q", SERVED, *without(booting(project)))


@pytest.mark.xdist_group("default")
def test_hooks(projects: Projects, workplace: Path) -> None:
    """
    The pre-commit hooks find nothing in a fresh project, and do find a conflict marker.
    """
    project = projects.render(named("default")).sync().copy(workplace)
    for command in (["init", "-q"], ["add", "-A"]):
        project.run("git", *command)
    hooks = ("uv", "tool", "run", "pre-commit", "run", "--all-files")
    project.run(*hooks)
    (project / "README.md").write_text("<<<<<<< before updating\n")
    done = project.run(*hooks, check=False)
    assert done.returncode
    assert "no conflict markers" in done.stdout


@pytest.mark.xdist_group("default")
def test_ci_refuses_a_stale_lock(projects: Projects, workplace: Path) -> None:
    """
    `make ci` stops when uv.lock does not say what pyproject.toml does.
    """
    project = projects.render(named("default")).sync().copy(workplace)
    text = project.read("pyproject.toml").replace('"anyio>=', '"idna>=3",\n    "anyio>=')
    (project / "pyproject.toml").write_text(text)
    done = project.run("scripts/ci", check=False)
    assert done.returncode
    assert "lock" in done.stdout.lower()
