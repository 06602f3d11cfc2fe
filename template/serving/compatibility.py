"""A check that this uvicorn is one that the drain worker was tested with."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.server import Server, ServerState

# Series (major.minor) whose every release candidate of ours ran the loss test. A new one is added
# after `scripts/test` has passed on it.
TESTED_UVICORN = ("0.54",)

LOST = (
    "the accept phase, the lame duck and the 503 of /ready while draining (a stop or a recycle may "
    "reset connections), the heartbeat while draining, the quick stop on SIGINT, and the exit of a "
    "worker whose master died"
)


def problems(protocol: type[asyncio.Protocol]) -> list[str]:
    """
    Say why the drain worker cannot trust what it finds; empty when it can.

    It relies on a few names that uvicorn does not promise to keep. A security update of uvicorn
    must never be refused for that, so the worker falls back to uvicorn's own server, and says it.
    `protocol` is the HTTP protocol that uvicorn will use.
    """
    series = ".".join(uvicorn.__version__.split(".")[:2])
    found = []
    if series not in TESTED_UVICORN:
        tested = ", ".join(f"{known}.x" for known in TESTED_UVICORN)
        found.append(f"uvicorn {uvicorn.__version__} is not among the tested ({tested})")
    methods = ("startup", "shutdown", "on_tick", "handle_exit", "serve")
    found += _missing("uvicorn.Server", [name for name in methods if not hasattr(Server, name)])
    found += _missing(
        "uvicorn.Server", {"should_exit", "started", "server_state"} - _attributes(Server)
    )
    found += _missing(
        "ServerState",
        {"connections", "tasks", "default_headers", "total_requests"} - _attributes(ServerState),
    )
    found += _missing(protocol.__name__, {"cycle", "transport"} - _attributes(protocol))
    cycle = getattr(sys.modules[protocol.__module__], "RequestResponseCycle", object)
    found += _missing(
        "RequestResponseCycle", {"default_headers", "response_started"} - _attributes(cycle)
    )
    return found


def _attributes(kind: type[Any]) -> set[str]:
    """Name what the constructor of a class touches: among it, the attributes of an instance."""
    constructor: Callable[..., None] = kind.__init__
    code = getattr(constructor, "__code__", None)
    return set(code.co_names) if code else set()


def _missing(owner: str, names: list[str] | set[str]) -> list[str]:
    return [f"{owner}.{name} does not exist" for name in sorted(names)]
