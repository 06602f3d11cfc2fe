"""
A clean stop: of every variant by its production command, and of two by every other server. Last in its file order, because it
ends the service that the tests of the contract share.
"""

from __future__ import annotations

from signal import SIGTERM

from tests.boot.serving import Served
from tests.support.processes import wait_until


def test_it_stops_within_its_time_and_leaves_nothing_behind(served: Served) -> None:
    """
    TERM, with an idle connection open: exit code 0, every lifespan shut down, no process left.
    """
    assert served.get("/health").status_code == 200  # the client keeps this connection
    if served.is_production_server:
        seconds = served.service.stop(seconds=served.facts["graceful_seconds"])
        assert served.service.returncode == 0
        assert seconds < 5, "an idle connection must not hold up a stop for longer than the lame duck"
        assert served.service.stderr().count("Application shutdown complete") == served.service.workers
    else:
        served.service.client.close()
        served.service.stop(seconds=30)
        # Some servers end by the signal they were sent.
        assert served.service.returncode in {0, -SIGTERM}
    wait_until(lambda: not served.service.members(), seconds=5, what="no process of the service is left")
