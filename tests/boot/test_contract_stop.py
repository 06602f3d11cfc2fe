"""
A clean stop: of every kind of application by its production command, and of the default by every other server. Last in its file order, because it
ends the service that the tests of the contract share.
"""

from __future__ import annotations

from signal import SIGTERM

from tests.boot.serving import BRIEFLY, Environment, Served
from tests.support.processes import wait_until
from tests.support.projects import Projects
from tests.support.variants import Variant, applications, kinds, variants


def test_it_stops_within_its_time_and_leaves_nothing_behind(served: Served) -> None:
    """
    TERM, with an idle connection open: exit code 0, every lifespan shut down, no process left.
    """
    assert served.get("/health").status_code == 200  # the client keeps this connection
    if served.is_production_server:
        seconds = served.service.stop(seconds=served.facts["graceful_seconds"])
        assert served.service.returncode == 0
        assert seconds < served.facts["worker_seconds"], "an idle connection holds up a stop like a running request"
        assert served.service.stderr().count("Application shutdown complete") == served.service.workers
    else:
        served.service.client.close()
        served.service.stop(seconds=30)
        # Some servers end by the signal they were sent.
        assert served.service.returncode in {0, -SIGTERM}
    wait_until(lambda: not served.service.members(), seconds=60, what="no process of the service is left")


@variants(lambda: [variant for variant in applications() if variant not in kinds()])
def test_it_starts_answers_and_stops(projects: Projects, variant: Variant, in_production: Environment) -> None:
    """
    An application that differs from one above in numbers, or offers nothing: ready, a GET, a POST, a clean stop.
    """
    project = projects.render(variant).sync()
    with project.serve(env=BRIEFLY | in_production(project)) as service:
        with_data = variant.facts["has_database"]
        assert service.get("/ready").json()["status"] == "ready"
        body: dict[str, object] = {"name": "one"} if with_data else {"zone": "domestic", "grams": 1}
        got = service.get("/api/v1/items" if with_data else "/api/v1/zones")
        posted = service.request("POST", "/api/v1/items" if with_data else "/api/v1/quotes", json=body)
        if variant.facts["has_example"]:
            assert (got.status_code, posted.status_code) == (200, 201 if with_data else 200)
        else:
            for answer in (got, posted):
                assert answer.status_code == 404
                assert answer.headers["content-type"] == "application/problem+json"
        service.stop(seconds=variant.facts["graceful_seconds"])
        assert service.returncode == 0
        assert service.stderr().count("Application shutdown complete") == service.workers
        wait_until(lambda: not service.members(), seconds=60, what="no process of the service is left")
