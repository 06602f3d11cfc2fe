"""
Stop servers the way Kubernetes stops pods, under load, and print what was lost and what each server costs.

No cluster and no container: two processes on loopback stand for two pods. One of them is told to go, as the kubelet does it (preStop, then
TERM), and the load balancers hear of it late. Every server has one process that works, the same application in production
mode, and the same load at the same time, in two ways: through a Service, where a connection stays with its pod, and through a gateway,
which keeps connections to the pods. No client and no gateway repeats a request.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import operator
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.support import processes, variants
from tests.support.balancer import Endpoints, Gateway
from tests.support.kubelet import terminate
from tests.support.load import Exchange, Load
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.service import Service
from tests.support.tally import Tally

UVICORN = ("uvicorn", "app.main:app", "--port", "{port}", "--no-access-log", "--timeout-graceful-shutdown", "30")
#: The first is what the image starts. Bound where the service is, so that a stop has its accept phase.
SERVERS: Mapping[str, tuple[str, ...]] = {
    "gunicorn, drain worker": ("gunicorn", "app.main:app"),
    "gunicorn, stock `UvicornWorker`": ("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "app.main:app"),
    "bare uvicorn": UVICORN,
}
#: Of each of the two loads.
CLIENTS: Mapping[str, Any] = {"kept": 12, "fresh": 4}
QUOTES = Exchange("/api/v1/zones", "/api/v1/quotes", '{"zone": "domestic", "grams": 1}')
#: Laid beside the application: a handler that does what handlers must not.
BLOCKING = """
import time
from app.main import app as application

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/block":
        time.sleep(60)
    await application(scope, receive, send)
"""
#: How long a blocked loop is waited for, with HEARTBEAT_SECONDS=2.
PATIENCE = 12.0
ENVIRONMENT = {"APP_ENV": "production"}
#: A process whose parent ends at once: the first process of a container inherits it.
ORPHAN = "(sleep 0.3 &) &"


@dataclass(frozen=True)
class Event:
    """
    Seconds of preStop, and seconds after which the load balancers know.
    """

    prestop: int
    late: int


#: Without preStop; as rendered; and when it takes longer than preStop waits.
EVENTS = (Event(0, 2), Event(5, 2), Event(5, 7))


@dataclass(frozen=True)
class Stop:
    """
    Count what became of the requests, by Service and by gateway, and time the end of the server.
    """

    service: Tally
    gateway: Tally
    seconds: float


def stopped(project: Project, command: tuple[str, ...], event: Event) -> Stop:
    """
    One pod of two is told to go.
    """
    with (
        project.serve(*SERVERS["gunicorn, drain worker"], env=ENVIRONMENT, workers=1) as staying,
        project.serve(*command, env=ENVIRONMENT, workers=1) as leaving,
    ):
        addresses = [("127.0.0.1", one.port) for one in (leaving, staying)]
        endpoints = Endpoints(*addresses)
        with Gateway(endpoints) as gateway:
            service = Load(endpoints.service, QUOTES, **CLIENTS)
            proxied = Load(gateway.address, QUOTES, **CLIENTS)
            with service, proxied:
                service.wait_for(300)
                proxied.wait_for(300)
                seconds = terminate(
                    event.prestop,
                    lambda: leaving.stop(seconds=60),
                    lambda: endpoints.remove(addresses[0]),
                    late=event.late,
                )
                service.wait_for(300)
                proxied.wait_for(300)
        return Stop(service.tally, proxied.tally, seconds)


def cell(tallies: Iterable[Tally]) -> str:
    """
    Lost of sent, and how.
    """
    tally = functools.reduce(operator.add, tallies)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.kinds.items()))
    return f"{tally.lost} of {tally.sent:,}: {kinds}" if tally.lost else f"**0** of {tally.sent:,}"


def losses(project: Project, rounds: int) -> Iterator[str]:
    """
    The rows of the table of losses.
    """
    for name, command in SERVERS.items():
        for event in EVENTS:
            print(f"{name}, {event} …", file=sys.stderr, flush=True)
            stops = [stopped(project, command, event) for _ in range(rounds)]
            cells = cell(one.service for one in stops), cell(one.gateway for one in stops)
            took = max(one.seconds for one in stops)
            yield f"| {name} | {event.prestop} s | {event.late} s | {cells[0]} | {cells[1]} | {took:.1f} s |"


def pss(service: Service) -> float:
    """
    MiB of all its processes; what they share is counted once.
    """
    total = 0
    for pid in service.members():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def started(project: Project, command: tuple[str, ...]) -> tuple[float, float]:
    """
    Seconds until /ready answers 200; MiB after some load.
    """
    begun = time.monotonic()
    with project.serve(*command, env=ENVIRONMENT, workers=1, ready="started") as service:
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{service.base_url}/ready").status_code == 200:
                    break
            time.sleep(0.01)
        seconds = time.monotonic() - begun
        with Load(("127.0.0.1", service.port), QUOTES, kept=8, fresh=4) as load:
            load.wait_for(3000, within=60)
        return seconds, pss(service)


def blocked(project: Project, command: tuple[str, ...]) -> str:
    """
    Measure how long the service is away when a handler blocks its loop for a minute.
    """
    words = [word.replace("app.main:app", "blocking:app") for word in command]
    env = {**ENVIRONMENT, "HEARTBEAT_SECONDS": "2", "PYTHONPATH": str(project.path)}
    with project.serve(*words, env=env, workers=1) as service:
        begun = time.monotonic()
        with contextlib.suppress(httpx2.TransportError):
            httpx2.get(f"{service.base_url}/block", timeout=0.5)

        def answers() -> bool:
            with contextlib.suppress(httpx2.TransportError):
                return httpx2.get(f"{service.base_url}/health", timeout=1).status_code == 200
            return False

        try:
            processes.wait_until(answers, seconds=PATIENCE, what="an answer")
        except TimeoutError:
            return f"not noticed in {PATIENCE:g} s"
        named = ", and the log names the line" if "blocking.py" in service.stderr() else ""
        return f"replaced after {time.monotonic() - begun:.1f} s{named}"


def reaps(project: Project, command: tuple[str, ...]) -> str:
    """
    See what becomes of an orphan when the server is the first process, as in a container. Needs root.
    """
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return "–"
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with project.serve(*unshare, *(str(project.bin / command[0]), *command[1:]), env=ENVIRONMENT, workers=1) as service:
        (first,) = processes.children(service.pid)
        before = zombies(first)
        subprocess.run(["nsenter", f"--target={first}", "--pid", "sh", "-c", ORPHAN], check=True)
        deadline = time.monotonic() + 3
        seen = False
        while time.monotonic() < deadline:
            seen = zombies(first) > before
            time.sleep(0.05)
        return "stays a zombie" if seen else "reaped"


def zombies(parent: int) -> int:
    """
    The number of dead children that a process has not asked about.
    """
    out = subprocess.run(["ps", "-A", "-o", "ppid=,stat="], capture_output=True, text=True, check=True).stdout
    return sum(line.split()[0] == str(parent) and line.split()[1].startswith("Z") for line in out.splitlines())


def costs(project: Project, rounds: int) -> Iterator[str]:
    """
    The rows of the table of costs.
    """
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    # In turn, so that a busy moment of the machine is nobody's disadvantage.
    for number in range(rounds):
        print(f"starts {number + 1} …", file=sys.stderr, flush=True)
        for name, command in SERVERS.items():
            measured[name].append(started(project, command))
    for name, command in SERVERS.items():
        print(f"{name}, orphans and a blocked loop …", file=sys.stderr, flush=True)
        seconds, mib = (statistics.median(values) for values in zip(*measured[name], strict=True))
        yield f"| {name} | {mib:.0f} MiB | {seconds:.2f} s | {reaps(project, command)} | {blocked(project, command)} |"


#: What can be asked for, and the head of its table.
TABLES: Mapping[str, tuple[Callable[[Project, int], Iterator[str]], str]] = {
    "losses": (
        losses,
        "| server | preStop | traffic ends after | Service: lost of sent | gateway: lost of sent | TERM to end |\n"
        "|---|---|---|---|---|---|",
    ),
    "costs": (
        costs,
        "| server | memory | first /ready | an orphan of process 1 | a blocked loop, `HEARTBEAT_SECONDS=2` |\n"
        "|---|---|---|---|---|",
    ),
}


def main() -> int:
    """
    Print the tables.
    """
    parser = argparse.ArgumentParser(prog="scripts/pods", description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"which of {', '.join(TABLES)} (all)")
    parser.add_argument("--rounds", type=int, default=3, help="stops and starts of each kind (3)")
    chosen = parser.parse_args()
    if unknown := set(chosen.tables) - set(TABLES):
        parser.error(f"no such table: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="steadfast-stops-") as folder:
        project = Projects(Path(folder)).render(variants.named("minimal")).sync()
        (project / "blocking.py").write_text(BLOCKING)
        for name in chosen.tables or TABLES:
            rows, head = TABLES[name]
            print(head)
            for row in rows(project, chosen.rounds):
                print(row, flush=True)
            print()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
