"""
The CI that a service gets: what it runs, that it is the same on both hosts, and that nothing of it can be moved under it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.project import Project, uv
from tests.support.projects import Projects
from tests.support.variants import Variant, each_value, named, of, pairwise, variants

GITHUB = ".github/workflows"
#: A project that depends on one package, and its lock.
AUDITED = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["idna"]\n'
LOCK = """
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "idna"
version = "3.20"
source = { registry = "ADDRESS/simple" }
sdist = { url = "ADDRESS/idna-3.20.tar.gz", hash = "sha256:DIGEST" }

[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "idna" }]
"""


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


def commands(workflow: dict[Any, Any], job: str) -> list[str]:
    """
    List what a job of a workflow runs, step by step.
    """
    steps = workflow["jobs"][job]["steps"]
    return [step["run"] for step in steps if "run" in step]


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
    names = {"image": {"build-image", "push-image"}, "deploy": {"build-release", "deploy"}}
    own = {name for each in expected for name in names.get(each, {each})}
    assert jobs(project).keys() == (own | {"ci", "audit"} if facts["has_gitlab"] else set())


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
        assert f"FROM python:{python}-slim AS base" in project.read("Dockerfile").splitlines()


def test_pushes_to_the_default_branch_are_checked(projects: Projects) -> None:
    """
    No branch is named, and a push to another one runs nothing.
    """
    on_default = "github.event_name != 'push' || github.ref_name == github.event.repository.default_branch"
    conditions = {
        "ci": {"ci": on_default, "audit": on_default},
        "database": {"ci": on_default},
        "image": {
            "image": on_default.replace("||", "|| github.ref_type == 'tag' ||"),
            "push": "github.event_name == 'push' && vars.IMAGE_NAME != 'none'",
            "manifest": None,
        },
    }
    found = workflows(projects.render(of()))
    assert found.pop("deploy")[True]["push"] == {"tags": ["v*"]}
    assert found.keys() == conditions.keys()
    for name, workflow in found.items():
        # YAML reads `on` as true.
        tags = {"tags": ["v*"]} if name == "image" else {}
        assert workflow[True]["push"] == {"branches": ["**"], **tags}, name
        assert "pull_request" in workflow[True], name
        assert {job: value.get("if") for job, value in workflow["jobs"].items()} == conditions[name], name
    pipeline = yaml.safe_load(projects.render(of(ci="gitlab")).read(".gitlab-ci.yml"))
    assert {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"} in pipeline["workflow"]["rules"]
    assert {"if": "$CI_COMMIT_TAG"} in pipeline["workflow"]["rules"]


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
        assert commands(workflow, "ci") == ["make migrate ci"]
    else:
        job = jobs(project)["database"]
        assert job["variables"]["DATABASE_URL"].startswith("postgresql://")
        assert job["script"] == ["make migrate ci"]


def test_both_hosts_do_the_same_to_the_image(projects: Projects) -> None:
    """
    Build it, run it, look through it: by commands that anybody can type, and that exist without make.
    """
    steps = commands(workflows(projects.render(of()))["image"], "image")
    assert steps == ["make image", "make smoke-image", "make scan-image"]
    project = projects.render(of(ci="gitlab"))
    script = jobs(project)["build-image"]["script"]
    assert script == [step.replace("make ", "scripts/") for step in steps]
    assert all((project / command).stat().st_mode & 0o111 for command in script)


def test_the_image_is_pushed_after_it_was_checked(projects: Projects) -> None:
    """
    With a name of its own per architecture, and one for both; by the script that anybody can run, with a login that no
    command line shows. Never for a pull request.
    """
    workflow = workflows(projects.render(of()))["image"]
    checked, push, manifest = (workflow["jobs"][name] for name in ("image", "push", "manifest"))
    assert "secrets." not in str(checked)
    assert (push["needs"], manifest["needs"]) == ("image", "push")
    assert push["strategy"]["matrix"]["include"] == [
        {"arch": "amd64", "runner": "ubuntu-26.04"},
        {"arch": "arm64", "runner": "ubuntu-26.04-arm"},
    ]
    login, create, build = commands(workflow, "push")
    assert create == "docker buildx create --use"
    environment = {"IMAGE_NAME": "ghcr.io/Me/Shop", "VERSION": "v1.4.0", "ARCH": "arm64"}
    assert workflow["env"]["IMAGE_NAME"].endswith("format('ghcr.io/{0}', github.repository) }}")
    assert said(build.replace("scripts/image", "printenv PUSH"), environment) == "ghcr.io/me/shop:v1.4.0-arm64"
    again, join = commands(workflow, "manifest")
    assert again == login
    assert said(f"docker() {{ echo $*; }}\n{join}", environment) == (
        "buildx imagetools create --tag ghcr.io/me/shop:v1.4.0 ghcr.io/me/shop:v1.4.0-amd64 ghcr.io/me/shop:v1.4.0-arm64"
    )
    who = {"IMAGE_USER": "me", "IMAGE_PASSWORD": "secret", **environment}
    told = said(f"docker() {{ echo $* and $(cat); }}\n{login}", who)
    assert told == "login --username me --password-stdin ghcr.io and secret"

    project = projects.render(of(ci="gitlab"))
    job = jobs(project)["push-image"]
    assert (job["extends"], job["stage"]) == ("build-image", "deploy")
    assert job["rules"] == [
        {"if": '$IMAGE_NAME == "none"', "when": "never"},
        {"if": "$CI_COMMIT_TAG"},
        {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"},
    ]
    script = "\n".join(["docker() { echo $* and $(cat); }", *job["script"]]).replace(
        "scripts/image", "printenv PUSH VERSION"
    )
    own = {
        "CI_REGISTRY_IMAGE": "registry.gitlab.com/me/shop",
        "CI_REGISTRY_USER": "bot",
        "CI_REGISTRY_PASSWORD": "token",
    }
    other = {"IMAGE_NAME": "registry.example.com/shop", "IMAGE_USER": "me", "IMAGE_PASSWORD": "secret"}
    assert said(script, {**own, "CI_COMMIT_SHA": "1a2b"}).splitlines() == [
        "login --username bot --password-stdin registry.gitlab.com and token",
        "registry.gitlab.com/me/shop:1a2b",
        "1a2b",
    ]
    assert said(script, {**own, **other, "CI_COMMIT_SHA": "1a2b", "CI_COMMIT_TAG": "v1"}).splitlines() == [
        "login --username me --password-stdin registry.example.com and secret",
        "registry.example.com/shop:v1",
        "v1",
    ]


def said(script: str, env: dict[str, str]) -> str:
    """
    The output of a step, run as its host runs it: with nothing set but this.
    """
    environment = {"PATH": os.environ["PATH"], **env}
    done = subprocess.run(["bash", "-e", "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("status", "vulnerable", "code"), [(200, False, 0), (200, True, 1), (503, False, 2)], ids=["good", "bad", "away"]
)
def test_the_lock_is_audited(projects: Projects, tmp_path: Path, status: int, vulnerable: bool, code: int) -> None:
    """
    In a job of its own. A known vulnerability fails it; a list of them that cannot be fetched stops no pipeline.
    """
    (command,) = commands(workflows(projects.render(of()))["ci"], "audit")
    job = jobs(projects.render(of(ci="gitlab")))["audit"]
    assert job == {"script": [command], "allow_failure": {"exit_codes": 2}}
    (tmp_path / "pyproject.toml").write_text(AUDITED)
    with vulnerabilities(status, vulnerable) as address:
        (tmp_path / "uv.lock").write_text(LOCK.replace("ADDRESS", address).replace("DIGEST", "0" * 64))
        program, *words = command.split()
        assert program == "uv"
        env = {**os.environ, "NO_PROXY": "*", "UV_HTTP_RETRIES": "0"}
        line = [uv(), *words, "--service-url", address]
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "warning" not in done.stderr
    assert ("PYSEC-2026-1" in done.stdout) == vulnerable
    assert ("503" in done.stderr) == (status == 503)


@contextlib.contextmanager
def vulnerabilities(status: int, vulnerable: bool) -> Iterator[str]:
    """
    The address of a service that answers as https://api.osv.dev does, and as an index that knows the package.
    """
    found = {"id": "PYSEC-2026-1", "modified": "2026-01-01T00:00:00Z"}
    known = {"meta": {"api-version": "1.4"}, "name": "idna", "versions": ["3.20"], "files": []}

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(known if self.path == "/simple/idna/" else found)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer({"results": [{"vulns": [found] if vulnerable else []} for _ in asked["queries"]]})

        def answer(self, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@variants(each_value)
def test_bots_keep_python_and_wait_a_week(projects: Projects, variant: Variant) -> None:
    """
    The image's Python is CI's, so no bot proposes another one. What is proposed is a week old, but for images: those are
    built again more often.
    """
    project = projects.render(variant)
    if variant.facts["has_github"]:
        updates = {x["package-ecosystem"]: x for x in yaml.safe_load(project.read(".github/dependabot.yml"))["updates"]}
        assert ("docker" in updates) == variant.facts["has_image"]
        for name, update in updates.items():
            assert update.get("cooldown") == (None if name == "docker" else {"default-days": 7}), name
        if variant.facts["has_image"]:
            (kept,) = updates["docker"]["ignore"]
            assert kept["dependency-name"] == "python"
            assert kept["update-types"] == ["version-update:semver-major", "version-update:semver-minor"]
    if variant.facts["has_gitlab"]:
        config = json.loads(project.read("renovate.json"))
        assert "docker:pinDigests" in config["extends"]
        assert config["minimumReleaseAge"] == "7 days"
        (kept,) = [rule for rule in config["packageRules"] if rule.get("matchPackageNames") == ["python"]]
        assert (kept["matchUpdateTypes"], kept["enabled"]) == (["major", "minor"], False)


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
    No workflow may write, but for the jobs that push the image, and those only to the registry. None leaves its token
    behind, or runs without an end.
    """
    pushes = {"push": {"contents": "read", "packages": "write"}, "manifest": {"packages": "write"}}
    for name, workflow in workflows(projects.render(variant)).items():
        assert workflow["permissions"] == {"contents": "read"}, name
        for title, job in workflow["jobs"].items():
            assert job.get("permissions") == (pushes.get(title) if name == "image" else None), title
            assert job["timeout-minutes"] <= 15, title
            assert re.fullmatch(r"ubuntu-26\.04|\$\{\{ matrix\.runner \}\}", job["runs-on"]), title
            checkouts = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
            assert len(checkouts) == (title != "manifest"), title
            assert all(step["with"] == {"persist-credentials": False} for step in checkouts), title


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
