"""
Render the default, install it, boot its production server on the embedded database, show it answering and draining.

Ends with a server that runs until Ctrl-C; with `--once` it ends by itself, for machines that watch.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import processes, variants
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.service import Service

#: Long enough to be seen, also on a busy machine; short enough to wait for.
ENVIRONMENT = {"ACCEPT_SECONDS": "3", "LAME_DUCK_SECONDS": "1"}


@contextmanager
def step(what: str) -> Iterator[None]:
    """
    Say what is done, and how long it took.
    """
    begun = time.monotonic()
    print(f"\n== {what}", flush=True)
    yield
    print(f"   {time.monotonic() - begun:.2f} s", flush=True)


def show(service: Service, method: str, path: str, status: int, **options: object) -> None:
    """
    Make a request, print the answer, and end the demo if it is not the one that is expected.
    """
    answer = service.request(method, path, **options)
    sent = f" {json.dumps(options['json'])}" if "json" in options else ""
    print(f"   {method} {path}{sent}\n   → {answer.status_code} {answer.text}", flush=True)
    if answer.status_code != status:
        raise SystemExit(f"{method} {path} was answered {answer.status_code}, not {status}")


def exchange(service: Service) -> None:
    """
    Show it answering.
    """
    show(service, "GET", "/health", 200)
    show(service, "GET", "/ready", 200)
    show(service, "POST", "/api/v1/items", 201, json={"name": f"Demo {time.time_ns()}"})
    show(service, "GET", "/api/v1/items?limit=3", 200)
    show(service, "GET", "/nowhere", 404)


def drain(service: Service) -> None:
    """
    Show a stop: not ready, yet answering, then gone with exit code 0.
    """
    service.signal(signal.SIGTERM)
    # The master passes the signal on to its workers: until one has it, it says 200.
    processes.wait_until(lambda: service.get("/ready").status_code == 503, seconds=10, what="/ready is 503")
    show(service, "GET", "/ready", 503)
    show(service, "GET", "/api/v1/items?limit=1", 200)
    service.process.wait(service.project.facts["stop_seconds"])
    left = len(service.members())
    print(f"   stopped with exit code {service.returncode}; processes left: {left}", flush=True)
    if service.returncode or left:
        raise SystemExit("the stop was not clean")


def main(*, once: bool) -> None:
    """
    The whole story.
    """
    with tempfile.TemporaryDirectory(prefix="steadfast-demo-") as folder:
        with step("copier copy, every default"):
            shared = Projects(Path(folder)).render(variants.named("default"))
            print(f"   {len(shared.tree())} files in {shared.path}")
        with step("uv sync"):
            project: Project = shared.sync()
        with (
            step("gunicorn app.main:app, two workers, nothing installed and nothing set"),
            project.serve(env=ENVIRONMENT) as service,
        ):
            print(f"   ready on {service.base_url}: pid {service.pid}, workers {service.worker_pids()}")
            exchange(service)
            print("\n   SIGTERM")
            drain(service)
        if once:
            return
        with project.serve(env=ENVIRONMENT) as service:
            print(f"\n== {service.base_url}/docs is yours until Ctrl-C", flush=True)
            # Ctrl-C reaches this process only: the server has a process group of its own.
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
            print("\nstopping", flush=True)
            service.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(once="--once" in sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
