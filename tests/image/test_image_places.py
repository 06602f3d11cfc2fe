"""
The image in places where it is started: their limits, their variables, a database that is away.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.image.databases import Database
from tests.image.images import DEFAULT, MINIMAL, RESTRICTED, SOMEBODY, Images, running
from tests.support.processes import wait_until

CPUS = os.cpu_count() or 1


@pytest.mark.xdist_group(MINIMAL.id)
@pytest.mark.parametrize(
    ("options", "workers", "reason"),
    [
        ([], CPUS, f"{CPUS} CPUs (affinity)"),
        (["--cpus=1"], 1, "1 CPUs (cgroup quota)" if CPUS > 1 else "1 CPUs (affinity)"),
        (["--cpus=0.5"], 1, "0.5 CPUs (cgroup quota)"),
        (["--cpuset-cpus=0"], 1, "1 CPUs (affinity)"),
        (["--memory=300m"], 1, "memory limit of 300 MiB" if CPUS > 1 else "1 CPUs (affinity)"),
        (["--memory=2g"], min(CPUS, 12), f"{CPUS} CPUs (affinity)"),
        (["--cpus=0.5", "--env=WEB_CONCURRENCY=3"], 3, "WEB_CONCURRENCY=3"),
    ],
    ids=["all", "cpus-1", "cpus-0.5", "cpuset", "memory-300m", "memory-2g", "told"],
)
def test_limits_decide_on_the_number_of_workers(images: Images, options: list[str], workers: int, reason: str) -> None:
    """
    As serving/capacity.py says, by what the kernel says of this container; the log has the reason.
    """
    with running(images(MINIMAL), *options) as service:
        started = "Application startup complete"
        wait_until(lambda: service.container.logs().count(started) >= workers, seconds=30, what=f"{workers} workers")
        assert len(service.workers()) == workers
        said = [json.loads(line)["event"] for line in service.container.logs().splitlines() if " workers: " in line]
        assert [event.startswith(f"{workers} workers: {reason}") for event in said] == [True], said


@pytest.mark.xdist_group(DEFAULT.id)
def test_it_does_not_start_without_its_database_url(images: Images) -> None:
    """
    An image is for production, where nothing may be missing: it ends, and names what is.
    """
    image = images(DEFAULT)
    with image.engine.container(image.tag, *RESTRICTED) as container:
        assert container.wait(seconds=30) == 3
        assert "- DATABASE_URL: missing" in container.logs()
        assert "Traceback" not in container.logs()


@pytest.mark.xdist_group(DEFAULT.id)
def test_it_is_unhealthy_while_its_database_is_away(images: Images, image_database: Database) -> None:
    """
    It starts without it, says what is missing, and is healthy as soon as it is there; the container is the same all the time.
    """
    quickly = ("--health-interval=1s", "--health-start-period=0s", "--health-retries=1")
    options = [f"--user={SOMEBODY}", *image_database.options, *quickly]
    image_database.stop()
    with running(images(DEFAULT), *options, ready=503) as service:
        wait_until(lambda: service.container.health == "unhealthy", seconds=40, what="unhealthy")
        assert service.container.state["Health"]["Log"][-1]["Output"].startswith('503 {"status":"unready"')
        image_database.start()
        service.container.wait_healthy(seconds=40)
        image_database.stop()
        wait_until(lambda: service.container.health == "unhealthy", seconds=40, what="unhealthy again")
        image_database.start()
        assert service.container.state["Running"]


@pytest.mark.xdist_group(MINIMAL.id)
def test_it_listens_where_a_platform_wants(images: Images) -> None:
    """
    BIND=0.0.0.0:$PORT; the health check asks there.
    """
    image = images(MINIMAL)
    options = [*RESTRICTED, "--env=BIND=0.0.0.0:8080", "--health-interval=1s"]
    with image.engine.container(image.tag, *options) as container:
        container.wait_healthy(seconds=30)
