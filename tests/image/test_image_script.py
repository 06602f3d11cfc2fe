"""
`scripts/image` asks the engine for the right thing: here the engine is a program that notes what it is asked for.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.images import MINIMAL
from tests.support.project import Project
from tests.support.projects import Projects

#: The time of the commit, far from now.
WHEN = "2020-02-02T20:20:20+02:00"
ENGINE = """#!/bin/sh
printf '%s\\n' "$DOCKER_BUILDKIT $BUILDAH_FORMAT" "$@" >"$0.asked"
exit "${CODE:-0}"
"""
Ask = Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]


@pytest.fixture
def project(projects: Projects, workplace: Path) -> Project:
    return projects.render(MINIMAL).copy(workplace)


@pytest.fixture
def ask(project: Project, tmp_path: Path) -> Ask:
    """
    Run it from elsewhere; what it says, and what the engine was asked for.
    """
    program = tmp_path / "some engine"
    program.write_text(ENGINE)
    program.chmod(0o755)

    def run(*words: str, **env: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        # A repository above the folder would be another project's.
        environment = {"DOCKER": str(program), "GIT_CEILING_DIRECTORIES": str(tmp_path), **env}
        done = project.run(project / "scripts/image", *words, env=environment, check=False)
        asked = tmp_path / "some engine.asked"
        return done, asked.read_text().splitlines() if asked.exists() else []

    return run


def commit(project: Project) -> str:
    """
    Make a repository of it, with one commit; its short name.
    """
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    project.run("git", *who, "commit", "--quiet", "--message=all", env={"GIT_COMMITTER_DATE": WHEN})
    return project.run("git", "rev-parse", "--short", "HEAD").stdout.strip()


def arguments(asked: list[str]) -> dict[str, str]:
    found = [after for before, after in itertools.pairwise(asked) if before == "--build-arg"]
    return dict(line.split("=", 1) for line in found)


def tags(asked: list[str]) -> list[str]:
    return [after for before, after in itertools.pairwise(asked) if before == "--tag"]


def test_it_is_named_after_the_commit(project: Project, ask: Ask) -> None:
    """
    And dated by it, so that the same code is the same image. BuildKit and Docker's format are asked for.
    """
    name = commit(project)
    done, asked = ask("--pull", "--label=a b")
    slug = project.facts["project_slug"]
    assert done.stdout.splitlines()[-1] == f"{slug}:{name}"
    assert tags(asked) == [f"{slug}:{name}", f"{slug}:current"]
    revision = project.run("git", "rev-parse", "HEAD").stdout.strip()
    assert arguments(asked) == {"VERSION": name, "REVISION": revision, "CREATED": WHEN}
    assert asked[:2] == ["1 docker", "build"]
    assert asked[-3:] == ["--pull", "--label=a b", "."]


def test_a_tag_names_it_and_an_edit_shows(project: Project, ask: Ask) -> None:
    """
    An edit must not pass for the commit; a character that a tag may not contain is replaced.
    """
    commit(project)
    project.run("git", "tag", "release/1.4+x")
    slug = project.facts["project_slug"]
    assert tags(ask()[1])[0] == f"{slug}:release-1.4-x"
    main = project / "app/main.py"
    main.write_text(main.read_text() + "\n# Not committed.\n")
    _, asked = ask()
    assert tags(asked)[0] == f"{slug}:release-1.4-x-dirty"
    assert arguments(asked)["VERSION"] == "release-1.4-x-dirty"
    assert tags(ask(VERSION="2.0")[1])[0] == f"{slug}:2.0"


def test_without_a_repository(project: Project, ask: Ask) -> None:
    """
    It is built all the same, and says what is not known.
    """
    done, asked = ask()
    assert done.returncode == 0, done.stdout
    assert tags(asked)[0] == f"{project.facts['project_slug']}:unversioned"
    assert arguments(asked)["REVISION"] == "unknown"
    assert arguments(asked)["CREATED"].endswith("Z")
    assert "fatal" not in done.stdout


def test_it_is_pushed_with_what_is_in_it(project: Project, ask: Ask) -> None:
    """
    Under the one name that was asked for, and with nothing of the build arguments in its provenance.
    """
    name = commit(project)
    done, asked = ask("--pull", PUSH="registry.example.com/shop:1.4.0-amd64")
    assert done.stdout.splitlines()[-1] == "registry.example.com/shop:1.4.0-amd64"
    assert asked[:6] == ["1 docker", "buildx", "build", "--push", "--sbom=true", "--provenance=mode=min"]
    assert tags(asked) == ["registry.example.com/shop:1.4.0-amd64"]
    assert arguments(asked)["VERSION"] == name
    assert asked[-2:] == ["--pull", "."]


def test_a_build_that_fails(project: Project, ask: Ask) -> None:
    """
    No name is said of an image that is not there.
    """
    done, _ = ask(CODE="3")
    assert (done.returncode, done.stdout) == (3, "")
