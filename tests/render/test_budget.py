"""
One budget for time, one for capacity: every rendered file that carries a number of it agrees with the others.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, each_value, variants

# Evaluates the server's settings as gunicorn would, by the standard library alone: the hooks, which need gunicorn, do
# not decide any number.
SERVER = """
import json, os, runpy, sys
from unittest.mock import MagicMock
sys.path.insert(0, os.getcwd())
sys.modules["serving.hooks"] = MagicMock()
conf = runpy.run_path("gunicorn.conf.py")
from serving.budget import Phases
phases = Phases.within(conf["graceful_timeout"], os.environ)
names = "backlog graceful_timeout keepalive timeout workers max_requests".split()
print(json.dumps({name: conf[name] for name in names} | {"phases": vars(phases)}))
"""


def server(project: Project, **environ: str) -> dict[str, object]:
    """
    The settings that gunicorn.conf.py arrives at in an environment.
    """
    done = subprocess.run(
        [sys.executable, "-c", SERVER],
        cwd=project.path,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def documented(project: Project) -> dict[str, str]:
    """
    The values in .env.example.
    """
    return dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=(.*)$", project.read(".env.example"), re.M))


def constant(project: Project, path: str, name: str) -> float:
    """
    The default of a settings field, as it stands in the code.
    """
    (number,) = re.findall(rf"^    {name}: .*= ([0-9.]+)$", project.read(path), re.M)
    return float(number)


@variants(each_value)
def test_times_form_a_ladder(projects: Projects, variant: Variant) -> None:
    """
    Dependencies < deadline < proxy < worker < master < service manager, and each file says the same.
    """
    project, facts = projects.render(variant), variant.facts
    seconds = facts["request_seconds"]
    assert constant(project, "app/core/http.py", "request_seconds") == seconds
    assert documented(project)["REQUEST_SECONDS"] == str(seconds)

    conf = server(project)
    phases = conf["phases"]
    assert isinstance(phases, dict)
    assert phases["accept"] == facts["accept_seconds"]
    assert phases["lame_duck"] == facts["lame_duck_seconds"]
    assert conf["graceful_timeout"] == facts["graceful_seconds"] == phases["accept"] + phases["lame_duck"] + seconds + 3
    assert phases["requests"] == facts["worker_seconds"] >= seconds
    assert facts["stop_seconds"] >= facts["graceful_seconds"] + 10
    assert seconds < facts["proxy_read_seconds"]

    assert conf["keepalive"] == facts["keepalive_seconds"] > facts["proxy_idle_seconds"]
    assert documented(project)["KEEP_ALIVE_SECONDS"] == str(facts["keepalive_seconds"])
    assert documented(project)["LAME_DUCK_SECONDS"] == str(facts["lame_duck_seconds"])

    if facts["has_database"]:
        assert constant(project, "app/database/settings.py", "seconds") == facts["database_seconds"] < seconds
        assert documented(project)["DATABASE_SECONDS"] == str(facts["database_seconds"])


@variants(each_value)
def test_capacity_agrees(projects: Projects, variant: Variant) -> None:
    """
    Body limit, backlog, pool and threads are the same wherever they stand; nothing is recycled unless asked.
    """
    project, facts = projects.render(variant), variant.facts
    limit = facts["body_limit_bytes"]
    assert constant(project, "app/core/http.py", "body_limit_bytes") == limit
    assert documented(project)["BODY_LIMIT_BYTES"] == str(limit)
    assert documented(project)["THREADS"] == f"{constant(project, 'app/core/http.py', 'threads'):g}"

    conf = server(project, WEB_CONCURRENCY="3")
    assert conf["workers"] == 3
    assert conf["backlog"] == facts["backlog"]
    assert conf["max_requests"] == 0
    assert documented(project)["HEARTBEAT_SECONDS"] == str(conf["timeout"])

    if facts["has_database"]:
        for name in ("pool_size", "max_overflow"):
            value = constant(project, "app/database/settings.py", name)
            assert documented(project)[f"DATABASE_{name.upper()}"] == f"{value:g}"


@variants(each_value)
def test_ci_runs_the_python_that_was_chosen(projects: Projects, variant: Variant) -> None:
    """
    CI and nothing else is bound to one interpreter: the code runs on 3.11 and later.
    """
    project, python = projects.render(variant), variant.facts["python"]
    config = tomllib.loads(project.read("pyproject.toml"))
    assert config["project"]["requires-python"] == ">=3.11"
    assert config["tool"]["ruff"]["target-version"] == "py311"
    assert not (project / ".python-version").exists()
    for path in (project / ".github" / "workflows").glob("*.yml"):
        assert yaml.safe_load(path.read_text())["env"]["UV_PYTHON"] == python, path.name
    if variant.facts["has_gitlab"]:
        pipeline = yaml.safe_load(project.read(".gitlab-ci.yml"))
        assert pipeline["default"]["image"] == f"python:{python}"
        assert pipeline["variables"]["UV_PYTHON"] == python


@pytest.mark.parametrize("name", ["default", "maximal"])
def test_ci_tests_on_a_real_database(projects: Projects, name: str) -> None:
    """
    Where there is a database server in production there is one in CI, and the tests are told where.
    """
    from tests.support.variants import named

    project = projects.render(named(name))
    if named(name).facts["has_github"]:
        workflow = yaml.safe_load(project.read(".github/workflows/database.yml"))
        job = workflow["jobs"]["ci"]
        assert "postgresql" in job["services"]
        assert workflow["env"]["DATABASE_URL"].startswith("postgresql://")
        actions = [step["uses"] for step in job["steps"] if "uses" in step]
        assert actions
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in actions)
        assert job["steps"][-1]["run"] == "make migrate ci"
    else:
        (included,) = yaml.safe_load(project.read(".gitlab-ci.yml"))["include"]
        assert included["rules"] == [{"exists": [included["local"]]}], "without such a job nothing is included"
        (path,) = project.path.glob(included["local"])
        job = yaml.safe_load(path.read_text())["database"]
        assert job["variables"]["DATABASE_URL"].startswith("postgresql://")
        assert job["script"] == ["make migrate ci"]
