"""
The database goes away and comes back: default and maximal, with a PostgreSQL of the test's own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.serving import BRIEFLY, default_and_maximal, each, production
from tests.boot.test_contract_errors import is_problem
from tests.support.processes import wait_until
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.service import Service
from tests.support.stack import Postgres
from tests.support.variants import Variant

DOWN = {"status": "down", "required": True, "reason": "refused"}


@pytest.fixture
def project(projects: Projects, variant: Variant) -> Project:
    """
    The variant as it is rendered.
    """
    return projects.render(variant).sync()


@pytest.fixture
def environment(project: Project, own_postgres: Postgres, tmp_path: Path) -> dict[str, str]:
    """
    Production, on a database that the test may stop. A result of readiness is not reused, so that each answer is of now.
    """
    environment = BRIEFLY | production(project, lambda: own_postgres, tmp_path)
    return environment | {"DATABASE_SECONDS": "2", "READY_CACHE_SECONDS": "0"}


def says(service: Service, status: int) -> Callable[[], bool]:
    return lambda: service.get("/ready").status_code == status


@each(default_and_maximal)
def test_it_starts_with_the_database_down_and_recovers_by_itself(
    project: Project, own_postgres: Postgres, environment: dict[str, str]
) -> None:
    """
    Every worker boots, /ready says unready with the reason, /health is well; nothing is restarted when the database returns.
    """
    own_postgres.stop()
    with project.serve(env=environment, ready="answering") as service:
        workers = service.worker_pids()
        ready = service.get("/ready")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
        assert ready.json() == {"status": "unready", "checks": {"database": DOWN}}
        assert service.get("/health").status_code == 200
        assert service.get("/nowhere").status_code == 404
        own_postgres.start()
        wait_until(says(service, 200), seconds=60, what="/ready is 200 again")
        assert service.request("POST", "/api/v1/items", json={"name": "after the outage"}).status_code == 201
        assert service.worker_pids() == workers


@each(default_and_maximal)
def test_an_outage_is_a_503_and_ends_by_itself(
    project: Project, own_postgres: Postgres, environment: dict[str, str]
) -> None:
    """
    While the database is away, routes that need it answer 503 with Retry-After, fast; when it is back, they answer.
    """
    with project.serve(env=environment) as service:
        assert service.get("/api/v1/items").status_code == 200
        workers = service.worker_pids()
        own_postgres.stop()
        for method in ("GET", "POST"):
            for _ in range(5):
                answer = service.request(method, "/api/v1/items", json={"name": "during the outage"})
                is_problem(answer, 503, "unavailable")
                assert int(answer.headers["retry-after"]) >= 1
                assert "127.0.0.1" not in answer.text
                assert str(own_postgres.port) not in answer.text
        assert service.get("/ready").json()["checks"]["database"] == DOWN
        assert service.get("/health").status_code == 200
        own_postgres.start()
        wait_until(says(service, 200), seconds=60, what="/ready is 200 again")
        for _ in range(10):
            assert service.get("/api/v1/items").status_code == 200
        assert service.worker_pids() == workers


@each(default_and_maximal)
def test_readiness_can_leave_the_database_out(
    project: Project, own_postgres: Postgres, environment: dict[str, str]
) -> None:
    """
    A dependency that is not in READY_REQUIRES is told, and does not take the service out of traffic.
    """
    own_postgres.stop()
    # An empty value counts as unset, so a list of nothing is a comma.
    with project.serve(env=environment | {"READY_REQUIRES": ","}) as service:
        ready = service.get("/ready")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (200, DOWN | {"required": False})


@each(default_and_maximal)
def test_a_broken_connection_of_the_pool_costs_no_request(
    project: Project, own_postgres: Postgres, environment: dict[str, str]
) -> None:
    """
    A database that restarted between two requests leaves dead connections in the pool; they are found before they are used.
    """
    with project.serve(env=environment) as service:
        for _ in range(10):
            assert service.get("/api/v1/items").status_code == 200
        own_postgres.restart()
        for _ in range(10):
            assert service.get("/api/v1/items").status_code == 200
