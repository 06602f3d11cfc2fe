"""
The jobs that deploy, as the CI of a rendered project would run them: their commands, and what is in their environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from tests.support.project import Project

#: A variable or a secret of the repository, and what is used where it is not set.
_EXPRESSION = re.compile(r"\$\{\{ (?:vars|secrets)\.(\w+)(?: \|\| '([\w. ]+)')? \}\}")
#: The names of the jobs on the one host and on the other.
JOBS = {"github": {"build": "build", "deploy": "deploy"}, "gitlab": {"build": "build-release", "deploy": "deploy"}}


def steps(project: Project, job: str, given: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """
    The scripts of the job `build` or `deploy` with the environment of each; `given` is set in the repository.
    """
    if project.facts["has_github"]:
        workflow = yaml.safe_load(project.read(".github/workflows/deploy.yml"))
        spec = workflow["jobs"][JOBS["github"][job]]
        common = workflow.get("env", {}) | spec.get("env", {})
        return [
            (step["run"], {name: _evaluate(text, given) for name, text in (common | step.get("env", {})).items()})
            for step in spec["steps"]
            if "run" in step
        ]
    pipeline = yaml.safe_load(project.read(".gitlab-ci.yml"))
    spec = yaml.safe_load(project.read(".gitlab/deploy.yml"))[JOBS["gitlab"][job]]
    return [("\n".join(spec["script"]), pipeline["variables"] | spec.get("variables", {}) | dict(given))]


def _evaluate(text: str, given: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: given.get(found[1]) or found[2] or "", text)
