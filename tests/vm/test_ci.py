"""
From CI: the commands of the rendered workflows, each job with what it has and nothing else.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.project import python as python_here
from tests.support.project import uv
from tests.support.projects import Projects
from tests.support.releases import UserProject, git
from tests.support.variants import of
from tests.vm.conftest import ANSWERS
from tests.vm.host import Host
from tests.vm.hosts import on, target_of
from tests.vm.operator import Operator
from tests.vm.ssh import DEPLOYER, Ssh, ssh

# A machine of CI: its own home, where nothing is before, and the network of the host. $1 the network, $2 the home, $3 the folder.
_RUNNER = 'mount --bind "$1" /root && cd "$2" && exec bash -e -o pipefail -c "$3"'


@pytest.mark.parametrize("ci", ["github", "gitlab"])
@on("trixie")
def test_the_rendered_workflow_deploys(host: Host, projects: Projects, folder: Path, ci: str) -> None:
    """
    One job builds the file in a clone, without a key; another one deploys it from another clone, with the key, without uv and
    without what the first one has installed.
    """
    project = Operator.of(projects.render(of(**ANSWERS, ci=ci)).sync(), folder / "project").project
    (project / "static").mkdir(exist_ok=True)
    (project / "static/robots.txt").write_text(f"{ci}\n")
    project.commit("from CI")
    run, (python, machine) = host.run, target_of(host.machine)
    with ssh(folder, machine=host.machine) as way:
        job = (github if ci == "github" else gitlab)(project, way, host, folder)
        build, deploy = clone(project, folder / "build"), clone(project, folder / "deploy")
        # In place of the Python that a runner of CI has, this computer's.
        program = folder / "bin/uv"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nUV_PYTHON={python_here()} exec {uv()} "$@"\n')
        program.chmod(0o755)
        path = f"{program.parent}:/usr/local/bin:/usr/bin:/bin"
        cache = subprocess.run([uv(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
        given = {"PATH": path, "HOME": str(folder / "builder"), "UV_CACHE_DIR": cache}
        (folder / "builder").mkdir()
        words = ["bash", "-e", "-o", "pipefail", "-c", job["build"]]
        done = subprocess.run(words, cwd=build, env={**given, **job["variables"]}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        (artifact,) = build.glob(job["artifact"])
        assert artifact.name.endswith(f"-py{python}-{machine}.tar.gz")

        (deploy / "dist").mkdir()
        artifact.rename(deploy / "dist" / artifact.name)
        (folder / "runner").mkdir()
        words = ["nsenter", f"--net={host.machine.network}", "unshare", "--mount", "sh", "-c", _RUNNER, "sh"]
        words += [str(folder / "runner"), str(deploy), job["deploy"]]
        given = {"PATH": "/usr/bin:/bin", "HOME": "/root"}
        done = subprocess.run(words, env={**given, **job["secrets"]}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "build " not in done.stderr
    name = artifact.name.removeprefix(f"{host.slug}-").partition("-py")[0]
    assert host.current == name
    assert name.endswith(git(project.path, "rev-parse", "--short=7", "HEAD").strip())
    assert host.run == run + 1
    assert host.ready_status() == 200


def github(project: UserProject, way: Ssh, host: Host, folder: Path) -> Mapping[str, Any]:
    """
    The two jobs of .github/workflows/deploy.yml: each step's `run`, with the variables and secrets of a repository.
    """
    workflow = yaml.safe_load(project.read(".github/workflows/deploy.yml"))
    jobs = workflow["jobs"]
    assert set(jobs) == {"build", "deploy"}
    assert jobs["deploy"]["needs"] == "build"
    settings = {
        "vars.DEPLOY_HOSTS": f"{DEPLOYER}@127.0.0.1",
        "vars.DEPLOY_KNOWN_HOSTS": known_hosts(host),
        # Not set: its default.
        "vars.DEPLOY_TARGET || '3.13 x86_64'": "3.13 x86_64",
        "secrets.DEPLOY_KEY": way.key.read_text().rstrip("\n"),
    }
    found: dict[str, Any] = {"secrets": {}, "variables": {}}
    for name, variables in (("build", "variables"), ("deploy", "secrets")):
        steps = [step for step in jobs[name]["steps"] if "run" in step]
        assert steps
        found[name] = "\n".join(step["run"] for step in steps)
        for each in (workflow, jobs[name], *steps):
            for variable, value in each.get("env", {}).items():
                expression = re.fullmatch(r"\$\{\{ (.+) \}\}", str(value))
                found[variables][variable] = settings[expression[1]] if expression else str(value)
    assert not [value for value in found["variables"].values() if "PRIVATE KEY" in value], (
        "the job that builds has the key"
    )
    (uploaded,) = (step["with"]["path"] for step in jobs["build"]["steps"] if "upload" in step.get("uses", ""))
    return {**found, "artifact": uploaded}


def gitlab(project: UserProject, way: Ssh, host: Host, folder: Path) -> Mapping[str, Any]:
    """
    The two jobs of .gitlab/deploy.yml: their scripts, with the variables of a project; two of them are files.
    """
    jobs = yaml.safe_load(project.read(".gitlab/deploy.yml"))
    pipeline = yaml.safe_load(project.read(".gitlab-ci.yml"))
    assert set(jobs) == {"build-release", "deploy"}
    key, known = folder / "deploy_key", folder / "deploy_known_hosts"
    key.write_text(way.key.read_text())
    key.chmod(0o644)
    known.write_text(known_hosts(host) + "\n")
    variables = {name: str(value) for name, value in pipeline.get("variables", {}).items() if name == "UV_PYTHON"}
    (artifact,) = jobs["build-release"]["artifacts"]["paths"]
    return {
        "build": "\n".join(jobs["build-release"]["script"]),
        "deploy": "\n".join(jobs["deploy"]["script"]),
        "variables": {"UV_PYTHON": python_of(pipeline), **variables},
        "secrets": {
            "DEPLOY_HOSTS": f"{DEPLOYER}@127.0.0.1",
            "DEPLOY_KEY": str(key),
            "DEPLOY_KNOWN_HOSTS": str(known),
        },
        "artifact": artifact,
    }


def python_of(pipeline: Mapping[str, Any]) -> str:
    """
    The version of Python of a pipeline.
    """
    found = re.search(r"UV_PYTHON['\"]?: ['\"]?([\d.]+)", yaml.safe_dump(pipeline))
    assert found, "the pipeline has no UV_PYTHON"
    return found[1]


def known_hosts(host: Host) -> str:
    """
    The keys of the machine, as ssh-keyscan prints them.
    """
    words = ["nsenter", f"--net={host.machine.network}", "ssh-keyscan", "-t", "ed25519", "127.0.0.1"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def clone(project: UserProject, destination: Path) -> Path:
    """
    The files that a job checks out.
    """
    git(project.path, "clone", "-q", str(project.path), str(destination))
    assert shlex.quote(str(destination)) == str(destination)
    return destination
