"""The times of a stop: how long it may take, and the part of it that each phase gets."""

import math
import os
from dataclasses import dataclass

from serving import listener
from serving.environment import Environment, seconds

# What is kept back from graceful_timeout for cancelling what is late and for the application's own
# shutdown, so that it runs before gunicorn kills the worker.
SHUTDOWN_SECONDS = 2.0


@dataclass(frozen=True)
class Phases:
    """The parts of a stop, in seconds, in the order they pass."""

    accept: float
    """After TERM, still accept connections while `/ready` answers 503."""
    lame_duck: float
    """Tell connections to close with their next answer; leave idle ones open until its end."""
    requests: float
    """Then wait this long for requests that are still running, and cancel what is left."""
    graceful: float
    """All of it and the application's shutdown: gunicorn kills the worker when it has passed."""

    @classmethod
    def within(cls, graceful: float, environ: Environment | None = None) -> "Phases":
        """
        Divide gunicorn's `graceful_timeout`, wherever it was set.

        One that leaves nothing for requests shortens the phases before them to half of it.
        """
        accept, lame_duck = first_phases(os.environ if environ is None else environ)
        requests = graceful - accept - lame_duck - SHUTDOWN_SECONDS
        if requests < 1:
            shrink = min(graceful / 2 / max(accept + lame_duck, 1e-9), 1)
            accept, lame_duck, requests = accept * shrink, lame_duck * shrink, graceful / 4
        return cls(accept, lame_duck, requests, graceful)


def first_phases(environ: Environment) -> tuple[float, float]:
    """
    Read ACCEPT_SECONDS and LAME_DUCK_SECONDS.

    Accepting on is pointless when the socket is inherited: it stays open, and the kernel hands new
    connections to whoever else listens on it, or keeps them. Otherwise a load balancer needs a
    probe period or two to see the 503; 5 s is more than the period of most.

    The lame duck is 3 s because a client that is busy uses its connections more often than that.
    """
    accept = seconds(environ, "ACCEPT_SECONDS", 0 if listener.inherited() else 5)
    return accept, seconds(environ, "LAME_DUCK_SECONDS", 3)


def graceful_seconds(environ: Environment, request_seconds: float) -> int:
    """
    Derive how long a stop may take from the request budget.

    accept phase + lame duck + the longest request that may begin in them + 1 s for it to be
    answered by its own deadline first + SHUTDOWN_SECONDS. Rounded up: gunicorn wants whole seconds.
    """
    accept, lame_duck = first_phases(environ)
    budget = seconds(environ, "REQUEST_SECONDS", request_seconds, least=0.1)
    return math.ceil(accept + lame_duck + budget + 1 + SHUTDOWN_SECONDS)
