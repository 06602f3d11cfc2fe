"""
The kubelet's work on a container, by the words of its manifest: it asks the probes, waits in preStop, stops it.

The grace of a pod counts from the moment it is told to go: preStop is part of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from tests.support import processes
from tests.support.load import Answer, Lost

Result = TypeVar("Result")

#: How much later than the pod itself the load balancers learn that it goes. Under a second in a small cluster at rest.
LATE_SECONDS = 2.0


class Asked(Protocol):
    """
    Something that answers GET.
    """

    def ask(self, path: str) -> Answer: ...


class Kubelet:
    """
    For the one container of a pod's template.
    """

    def __init__(self, template: Mapping[str, Any]) -> None:
        (self.container,) = template["spec"]["containers"]
        self.grace = float(template["spec"]["terminationGracePeriodSeconds"])
        self.prestop = float(self.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))

    def probe(self, kind: str, pod: Asked) -> bool:
        """
        Ask once: does a probe succeed?
        """
        try:
            return 200 <= pod.ask(self.container[kind]["httpGet"]["path"]).status < 400
        except (Lost, TimeoutError):
            return False

    def wait_ready(self, pod: Asked) -> float:
        """
        Wait for the startup probe, then for readiness; the seconds until then. As long as the startup probe allows.
        """
        __tracebackhide__ = True
        begun = time.monotonic()
        startup = self.container["startupProbe"]
        patience = float(startup["periodSeconds"] * startup["failureThreshold"])
        for kind in ("startupProbe", "readinessProbe"):
            processes.wait_until(lambda: self.probe(kind, pod), seconds=patience, what=kind)  # noqa: B023
        return time.monotonic() - begun


def terminate(
    prestop: float, stop: Callable[[], Result], leave: Callable[[], object], *, late: float = LATE_SECONDS
) -> Result:
    """
    Tell a pod to go: `stop` after preStop, and meanwhile `leave`, the end of its traffic, which comes late. What `stop` returned.
    """

    def stopped() -> Result:
        time.sleep(prestop)
        return stop()

    with ThreadPoolExecutor(1) as side:
        ending = side.submit(stopped)
        time.sleep(late)
        leave()
        return ending.result()
