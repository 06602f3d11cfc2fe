"""
The effects of the environment: development, documentation, trusted proxies, a prefix. The named variants, where it matters.
"""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGINT, SIGQUIT, Signals

import pytest

from tests.boot.serving import BRIEFLY, Environment, default_and_maximal, each, find_line
from tests.support.projects import Projects
from tests.support.variants import Variant, named, three


@each(three)
def test_development_needs_nothing(projects: Projects, variant: Variant, workplace: Path) -> None:
    """
    With nothing installed and nothing set the service runs: documentation, readable logs, an embedded database that says so.
    """
    project = projects.render(variant).sync().copy(workplace)
    with project.serve(env=BRIEFLY) as service:
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert service.get(path).status_code == 200
        assert service.get("/openapi.json").json()["info"]["title"] == variant.facts["project_name"]
        if variant.facts["has_database"]:
            assert service.request("POST", "/api/v1/items", json={"name": "kept"}).status_code == 201
            assert [item["name"] for item in service.get("/api/v1/items").json()["items"]] == ["kept"]
            assert "development.db" in service.stderr()
        service.client.close()
        service.stop()
        said = service.logs()
    assert service.returncode == 0
    assert not [line for line in said.splitlines() if line.startswith("{")], "readable, not JSON"


@each(lambda: [named("default")])
def test_the_documentation_can_be_asked_for_in_production(
    projects: Projects, variant: Variant, in_production: Environment
) -> None:
    """
    DOCS_ENABLED=true.
    """
    project = projects.render(variant).sync()
    with project.serve(env=BRIEFLY | in_production(project) | {"DOCS_ENABLED": "true"}) as service:
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert service.get(path).status_code == 200


@each(default_and_maximal)
def test_nobody_is_believed_who_is_not_trusted(
    projects: Projects, variant: Variant, in_production: Environment
) -> None:
    """
    Forwarding headers from a peer outside TRUSTED_PROXIES change nothing.
    """
    project = projects.render(variant).sync()
    environment = BRIEFLY | in_production(project) | {"TRUSTED_PROXIES": "10.0.0.0/8"}
    with project.serve(env=environment) as service:
        service.get("/nowhere", headers={"X-Forwarded-For": "203.0.113.7", "X-Request-ID": "not-believed"})
        assert find_line(service.access_lines, "not-believed")["client"] == "127.0.0.1"


@each(default_and_maximal)
def test_a_prefix_may_stay_on_the_path(projects: Projects, variant: Variant, in_production: Environment) -> None:
    """
    With ROOT_PATH the probes and the API answer with and without the prefix.
    """
    project = projects.render(variant).sync()
    with project.serve(env=BRIEFLY | in_production(project) | {"ROOT_PATH": "/shop"}) as service:
        for prefix in ("", "/shop"):
            assert service.get(f"{prefix}/health").status_code == 200
            assert service.get(f"{prefix}/ready").status_code == 200
            assert service.get(f"{prefix}/api/v1/items").status_code == 200


@each(default_and_maximal)
def test_a_host_that_is_not_ours_is_a_problem(projects: Projects, variant: Variant, in_production: Environment) -> None:
    """
    ALLOWED_HOSTS refuses others with 400; probes come by address and are exempt.
    """
    project = projects.render(variant).sync()
    environment = BRIEFLY | in_production(project) | {"ALLOWED_HOSTS": "api.example.com"}
    with project.serve(env=environment) as service:
        ours, other = {"Host": "api.example.com"}, {"Host": "evil.example.org"}
        assert service.get("/api/v1/items", headers=ours).status_code == 200
        refused = service.get("/api/v1/items", headers=other)
        assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
        assert refused.json()["type"] == "urn:problem-type:bad-request"
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
        assert service.get("/health", headers=other).status_code == 200


@pytest.mark.parametrize("number", [SIGINT, SIGQUIT])
@each(lambda: [named("default")])
def test_an_interrupt_is_quick(
    projects: Projects, variant: Variant, in_production: Environment, number: Signals
) -> None:
    """
    Ctrl-C does not make a person wait for phases that are there for load balancers; lifespans are shut down all the same.
    """
    project = projects.render(variant).sync()
    long = {"ACCEPT_SECONDS": "60", "LAME_DUCK_SECONDS": "60"}
    with project.serve(env=in_production(project) | long) as service:
        assert service.get("/health").status_code == 200  # and keeps its connection
        assert service.stop(number) < 60
        assert service.returncode == 0
        assert service.stderr().count("Application shutdown complete") == service.workers
        for line in service.stderr().splitlines():
            json.loads(line)


@each(default_and_maximal)
def test_the_smoke_test_passes_and_a_broken_service_does_not(
    projects: Projects, variant: Variant, in_production: Environment, workplace: Path
) -> None:
    """
    `scripts/smoke`, which `make ci` runs among the tests: what does not start is shown with its log.
    """
    project = projects.render(variant).sync()
    done = project.run("scripts/smoke", env=in_production(project))
    assert " 2 passed " in done.stdout, done.stdout
    broken = project.copy(workplace)
    (broken / "gunicorn.conf.py").write_text('raise RuntimeError("broken on purpose")\n')
    done = broken.run("scripts/smoke", env=in_production(project), check=False)
    assert done.returncode == 1
    assert "RuntimeError: broken on purpose" in done.stdout
    assert "the server ended by itself" in done.stdout
