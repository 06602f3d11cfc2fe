"""The program `scripts/prove`: what it is told, what it does, and what it says."""

import argparse
import asyncio
import os
import runpy
import sys
import tempfile
import time
from pathlib import Path

from proving import report, routes
from proving.connection import Address, Connection, Lost
from proving.exchange import Exchange
from proving.load import Load
from proving.run import Failed
from proving.stage import EVENTS, Stage

DESCRIPTION = "Deploy, restart, kill and stop the service under load, and count what is lost."
EPILOG = (
    "It is the production server of this project, on a socket that outlives it as under systemd. "
    "No request is tried again. [tool.prove] in pyproject.toml names the routes, or the options do."
)
ROOT = Path(__file__).resolve().parents[2]
STORY = "steady,deploy,deploy,deploy,restart,kill,stop"
# A part of the service that keeps something brings a script that gives it a place for the proof.
PARTS = "prove_*.py"
# Of somebody else's supervision.
NOT_OURS = ("LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "BIND", "PORT")
# As a deploy does it: a new run takes no traffic before it is ready.
READY_SECONDS = 30
# The peer on loopback is a trusted proxy, so each client has an address of its own, as behind one.
# These are set aside for benchmarks.
CLIENT = "X-Forwarded-For: 198.18.0.{client}"


def main() -> int:
    """Run the proof; return the exit code."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        scratch = Path(folder)
        try:
            environ, said = environment(scratch, consent=options.yes)
            with Stage(ROOT, scratch, environ) as stage:
                exchange = choose(options, environ, stage)
                if not options.json:
                    introduce(exchange, environ, said)
                rows = prove(stage, exchange, options)
        except (Failed, Lost, ValueError, OSError) as error:
            print(f"{error}\nFAILED: nothing is proved", file=sys.stderr)
            return 1
    lost = sum(tally.lost for _, tally in rows)
    if options.json:
        print(report.as_json(exchange, rows))
    else:
        print(*report.notes(rows), f"lost: {lost}", sep="\n")
    return int(options.strict and lost > 0)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/prove", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--get", metavar="PATH", help="what is asked")
    add("--post", metavar="PATH", help="what is written to; empty: nothing")
    add("--body", metavar="JSON", help="what is written; {n} is another number every time")
    add("--header", metavar="NAME:VALUE", action="append", default=[], help="may be repeated")
    add("--events", default=STORY, help="what happens, in this order (%(default)s)")
    add("--seconds", type=float, default=2, help="of load after each event (%(default)s)")
    add("--clients", type=int, default=8, help="a quarter of them never keeps a connection")
    add("--strict", action="store_true", help="exit 1 when a request was lost")
    add("--json", action="store_true", help="print JSON, and nothing before the end")
    add("--yes", action="store_true", help="write into what the environment names")
    options = parser.parse_args()
    options.events = options.events.split(",")
    if not set(options.events) <= set(EVENTS):
        parser.error(f"events are {', '.join(EVENTS)}")
    if "stop" in options.events[:-1]:
        parser.error("after stop nothing can happen")
    return options


def environment(scratch: Path, *, consent: bool) -> tuple[dict[str, str], list[str]]:
    """Return what the server gets, and what has to be said of it."""
    environ = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    # Two, so that one can be killed; and as in production, whatever the mode.
    for name, value in {"WEB_CONCURRENCY": "2", "LOG_FORMAT": "json"}.items():
        environ[name] = environ.get(name) or value
    environ["READY_GATE_SECONDS"] = str(READY_SECONDS)
    parts = sorted((ROOT / "scripts").glob(PARTS))
    said = [runpy.run_path(str(part))["prepare"](environ, scratch, consent) for part in parts]
    return environ, said


def choose(options: argparse.Namespace, environ: dict[str, str], stage: Stage) -> Exchange:
    """Decide what is sent, and see that it is answered; raises Failed."""
    chosen = routes.named(ROOT)
    for name in ("get", "post", "body"):
        if (value := getattr(options, name)) is not None:
            chosen[name] = value
    post, body = chosen.get("post") or None, chosen.get("body", "{}")
    offered = [chosen["get"]] if "get" in chosen else routes.offered(ROOT, environ)
    tried = [Exchange(get, post, body, (CLIENT, *options.header)) for get in offered]
    exchange = next((each for each in tried if works(stage, each, "GET")), tried[-1])
    for method in exchange.methods:
        works(stage, exchange, method, must="get" in chosen or method == "POST")
    return exchange


def works(stage: Stage, exchange: Exchange, method: str, *, must: bool = False) -> bool:
    """Try a request; raises Failed when it must succeed and does not."""
    status, body = asyncio.run(answer(stage.address, exchange.request(method, now())))
    if must and status >= 400:
        path = exchange.post if method == "POST" else exchange.get
        said = f"{body.decode(errors='replace')}\n{method} {path} is answered {status}"
        raise Failed(f"{said}: see --{method.lower()}, --body and --header")
    return status < 400


async def answer(address: Address, request: bytes) -> tuple[int, bytes]:
    """Ask once."""
    connection = await Connection.to(address)
    try:
        async with asyncio.timeout(READY_SECONDS):
            return await connection.exchange(request)
    except TimeoutError:
        raise Failed(f"a request had no answer after {READY_SECONDS} s") from None
    finally:
        await connection.close()


def now() -> int:
    """Return a number that no earlier proof has used."""
    return time.time_ns() // 1_000_000


def introduce(exchange: Exchange, environ: dict[str, str], said: list[str]) -> None:
    """Say what is going to happen."""
    post = f", POST {exchange.post}" if exchange.post else "; no POST ([tool.prove] may name one)"
    print(f"GET {exchange.get}{post}")
    print(*said, f"{environ['WEB_CONCURRENCY']} workers a run", sep="\n")
    print(f"\n{report.HEADER}", flush=True)


def prove(stage: Stage, exchange: Exchange, options: argparse.Namespace) -> list[report.Row]:
    """Make everything happen; return what became of the requests."""
    fresh = options.clients // 4
    kept = options.clients - fresh
    rows: list[report.Row] = []
    with Load(stage.address, exchange, kept=kept, fresh=fresh, first=now()) as load:
        for event in options.events:
            stage.perform(event, load, options.seconds)
            rows.append((event, load.turn()))
            if not options.json:
                print(report.line(*rows[-1]), flush=True)
    return rows
