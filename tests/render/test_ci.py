"""
The CI that a service gets: what it runs, that it is the same on both hosts, and that nothing of it can be moved under it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, each_value, named, of, pairwise, variants

GITHUB = ".github/workflows"


def workflows(project: Project) -> dict[str, dict[Any, Any]]:
    """
    GitHub's workflows by the name of their file.
    """
    return {path.stem: yaml.safe_load(path.read_text()) for path in (project / GITHUB).glob("*.yml")}


def jobs(project: Project) -> dict[str, dict[str, Any]]:
    """
    GitLab's jobs by their name, those of included files too.
    """
    if not project.facts["has_gitlab"]:
        return {}
    pipeline = yaml.safe_load(project.read(".gitlab-ci.yml"))
    (included,) = pipeline["include"]
    assert included["rules"] == [{"exists": [included["local"]]}], "without such a job nothing is included"
    for path in project.path.glob(included["local"]):
        pipeline |= yaml.safe_load(path.read_text())
    return {name: job for name, job in pipeline.items() if isinstance(job, dict) and "script" in job}


def commands(workflow: dict[Any, Any]) -> list[str]:
    """
    The commands of a workflow, step by step.
    """
    (job,) = workflow["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


@variants(pairwise)
def test_there_is_a_job_for_each_thing_to_check(projects: Projects, variant: Variant) -> None:
    """
    One for the code, one with a database server where there is one in production, one for the image and one for plain
    machines where these are.
    """
    project, facts = projects.render(variant), variant.facts
    beside = {"database": facts["has_postgresql"], "image": facts["has_image"], "deploy": facts["has_vm"]}
    expected = {name for name, there in beside.items() if there}
    assert workflows(project).keys() == (expected | {"ci"} if facts["has_github"] else set())
    names = {"image": {"build-image"}, "deploy": {"build-release", "deploy"}}
    own = {name for each in expected for name in names.get(each, {each})}
    assert jobs(project).keys() == (own | {"ci"} if facts["has_gitlab"] else set())


@variants(each_value)
def test_ci_runs_the_python_that_was_chosen(projects: Projects, variant: Variant) -> None:
    """
    CI and the image, and nothing else, are bound to one interpreter: the code runs on 3.11 and later.
    """
    project, python = projects.render(variant), variant.facts["python"]
    config = tomllib.loads(project.read("pyproject.toml"))
    assert config["project"]["requires-python"] == ">=3.11"
    assert config["tool"]["ruff"]["target-version"] == "py311"
    assert not (project / ".python-version").exists()
    for name, workflow in workflows(project).items():
        # The image brings its own, and the hosts have theirs.
        assert name in {"image", "deploy"} or workflow["env"]["UV_PYTHON"] == python, name
    if variant.facts["has_gitlab"]:
        pipeline = yaml.safe_load(project.read(".gitlab-ci.yml"))
        assert pipeline["default"]["image"] == f"python:{python}"
        assert pipeline["variables"]["UV_PYTHON"] == python
    if variant.facts["has_image"]:
        assert f"ARG PYTHON_IMAGE=python:{python}-slim" in project.read("Dockerfile").splitlines()


def test_pushes_to_the_default_branch_are_checked(projects: Projects) -> None:
    """
    No branch is named, and a push to another one runs nothing.
    """
    on_default = "github.event_name != 'push' || github.ref_name == github.event.repository.default_branch"
    found = workflows(projects.render(of()))
    assert found.pop("deploy")[True]["push"] == {"tags": ["v*"]}
    assert found.keys() == {"ci", "database", "image"}
    for name, workflow in found.items():
        # YAML reads `on` as true.
        assert workflow[True]["push"] == {"branches": ["**"]}, name
        assert "pull_request" in workflow[True], name
        assert [job["if"] for job in workflow["jobs"].values()] == [on_default], name
    pipeline = yaml.safe_load(projects.render(of(ci="gitlab")).read(".gitlab-ci.yml"))
    assert {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"} in pipeline["workflow"]["rules"]


@pytest.mark.parametrize("name", ["default", "maximal"])
def test_ci_tests_on_a_real_database(projects: Projects, name: str) -> None:
    """
    CI has a database server when production has one, and the tests get its address.
    """
    project = projects.render(named(name))
    if named(name).facts["has_github"]:
        workflow = workflows(project)["database"]
        assert "postgresql" in workflow["jobs"]["ci"]["services"]
        assert workflow["env"]["DATABASE_URL"].startswith("postgresql://")
        assert commands(workflow) == ["make migrate ci"]
    else:
        job = jobs(project)["database"]
        assert job["variables"]["DATABASE_URL"].startswith("postgresql://")
        assert job["script"] == ["make migrate ci"]


def test_both_hosts_do_the_same_to_the_image(projects: Projects) -> None:
    """
    Build it, run it, look through it: by commands that anybody can type, and that exist without make.
    """
    steps = commands(workflows(projects.render(of()))["image"])
    assert steps == ["make image", "make smoke-image", "make scan-image"]
    project = projects.render(of(ci="gitlab"))
    script = jobs(project)["build-image"]["script"]
    assert script == [step.replace("make ", "scripts/") for step in steps]
    assert all((project / command).stat().st_mode & 0o111 for command in script)


def test_who_has_the_key_builds_nothing(projects: Projects) -> None:
    """
    A build runs strangers' code too. One job builds and has no secret; the other, which a person may have to allow,
    only sends. One at a time; by hand, or by a tag that somebody has made.
    """
    workflow = workflows(projects.render(of()))["deploy"]
    build, deploy = workflow["jobs"]["build"], workflow["jobs"]["deploy"]
    assert "secrets." not in str(build)
    assert "environment" not in build
    assert "deploy/build" not in str(deploy)
    assert "setup-uv" not in str(deploy)
    assert (deploy["needs"], deploy["environment"]) == ("build", "production")
    assert build["if"] == "vars.DEPLOY_HOSTS != ''"
    assert '\non:\n  push:\n    tags: ["v*"]\n  workflow_dispatch:\n\n' in projects.render(of()).read(
        f"{GITHUB}/deploy.yml"
    )
    assert workflow["concurrency"] == {"group": "deploy", "cancel-in-progress": False}
    assert {"enable-cache": False}.items() <= next(x for x in build["steps"] if "setup-uv" in x.get("uses", ""))[
        "with"
    ].items()

    project = projects.render(of(ci="gitlab"))
    build, deploy = jobs(project)["build-release"], jobs(project)["deploy"]
    assert "DEPLOY_KEY" not in str(build)
    assert "deploy/build" not in str(deploy)
    assert (deploy["environment"], deploy["resource_group"]) == ("production", "production")
    # All that comes before has to have passed; a pipeline that waits for somebody is not a failed one.
    assert (build["stage"], deploy["stage"], "needs" in deploy) == ("build", "deploy", False)
    condition = "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $DEPLOY_HOSTS"
    assert build["rules"] == [{"if": condition}]
    assert deploy["rules"] == [{"if": condition, "when": "manual", "allow_failure": True}]


@variants(each_value)
def test_workflows_may_only_read(projects: Projects, variant: Variant) -> None:
    """
    No workflow may write, leaves its token behind, or runs without an end.
    """
    for name, workflow in workflows(projects.render(variant)).items():
        assert workflow["permissions"] == {"contents": "read"}, name
        for job in workflow["jobs"].values():
            assert "permissions" not in job, name
            assert job["timeout-minutes"] <= 15, name
            checkout = next(step for step in job["steps"] if "checkout" in step.get("uses", ""))
            assert checkout["with"] == {"persist-credentials": False}, name


@variants(each_value)
def test_what_ci_fetches_is_pinned(projects: Projects, variant: Variant) -> None:
    """
    Actions by commit, with the version in words; the scanner by digest; Docker by version, client and server the same.
    """
    project = projects.render(variant)
    for name in workflows(project):
        actions = re.findall(r"uses: (.*)", project.read(f"{GITHUB}/{name}.yml"))
        assert actions
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in actions), actions
    if variant.facts["has_image"]:
        (scanner,) = re.findall(r"SCANNER:-(.*?)}", project.read("scripts/scan-image"))
        assert re.fullmatch(r"docker\.io/[\w/-]+:v\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", scanner)
    if "build-image" in jobs(project):
        job = jobs(project)["build-image"]
        (service,) = job["services"]
        assert re.fullmatch(r"docker:\d+\.\d+\.\d+-cli", job["image"])
        assert service["name"] == job["image"].replace("-cli", "-dind")


@pytest.mark.parametrize("targets", [["vm"], ["vm", "container"]], ids=["vm", "container"])
def test_their_hosts_would_take_them(projects: Projects, targets: list[str]) -> None:
    """
    The published schemas of workflows, jobs and updates.
    """
    github, gitlab = (projects.render(of(ci=host, targets=targets)) for host in ("github", "gitlab"))
    validate("github-workflows", *(github / GITHUB).glob("*.yml"))
    validate("dependabot", github / ".github/dependabot.yml")
    validate("gitlab-ci", gitlab / ".gitlab-ci.yml", *(gitlab / ".gitlab").glob("*.yml"))
    validate("renovate", gitlab / "renovate.json")


def validate(schema: str, *paths: Path) -> None:
    """
    Check files against a schema that comes with the validator: nothing is fetched.
    """
    assert paths
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr


def test_zizmor_finds_nothing(projects: Projects) -> None:
    """
    Nothing in the workflows lets a stranger in, as far as a linter can tell.
    """
    project = projects.render(of())
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run([zizmor, "--offline", project / ".github"], capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
