"""
Run `scripts/prove` of two rendered services, and once with the stock worker; print the table that docs/proof.md shows.

With `--write` the table takes its place there. Without PostgreSQL on this machine the default runs on its embedded
database, and the table says so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support import stack, variants
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.questions import ROOT

PROOF = ROOT / "docs" / "proof.md"
BLOCK = re.compile(r"(<!-- losses -->\n).*?(<!-- /losses -->\n)", re.S)
#: The same server and the same settings; only the worker is another.
STOCK = {"GUNICORN_CMD_ARGS": "--worker-class scripts.stock_worker.StockWorker", "PYTHONPATH": str(ROOT)}
HEAD = """\
| event | minimal: lost of sent | slowest | default, {database}: lost of sent | slowest | minimal, stock `UvicornWorker`: lost of sent |
|---|---|---|---|---|---|
"""
FOOT = """
Between the two runs of a restart nobody answers: its slowest request waits for the start. A worker that is killed takes down what it is answering, which
is counted apart. Zero or not zero is what counts; rates and times belong to the machine. `scripts/test boot -k losses` counts more events: recycling,
scaling down, a stop without a socket that stays.
"""


def prove(project: Project, *options: str, env: Mapping[str, str]) -> list[dict[str, Any]]:
    """
    Run `scripts/prove` of a project and return its counts, event by event. Fails with its output when nothing could be proved.
    """
    done = project.run("scripts/prove", "--json", *options, env=env)
    events: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["events"]
    return events


def lost(counted: dict[str, Any]) -> str:
    """
    A cell: lost of sent, and what went down with a worker.
    """
    outcomes = counted["outcomes"]
    in_flight = outcomes.get("in flight in that worker", 0)
    cell = f"{counted['lost']} of {sum(outcomes.values()):,}"
    return cell + (f", {in_flight} in flight" if in_flight else "")


def slowest(counted: dict[str, Any]) -> str:
    """
    A cell: the slowest answer.
    """
    return f"{counted['slowest'] * 1000:,.0f} ms"


@contextlib.contextmanager
def production(project: Project) -> Iterator[tuple[dict[str, str], str]]:
    """
    The environment of production on a migrated PostgreSQL of our own, or of development where there is none; and its name.
    """
    if not stack.find("postgres"):
        yield {}, "embedded SQLite"
        return
    with stack.Postgres() as postgres:
        environment = {"APP_ENV": "production", "DATABASE_URL": postgres.create_database()}
        project.run("make", "migrate", env=environment)
        yield environment, "PostgreSQL"


def table(folder: Path, *options: str) -> str:
    """
    Prove, and put it into words.
    """
    projects = Projects(folder)
    minimal, default = (projects.render(variants.named(name)).sync() for name in ("minimal", "default"))
    print("minimal …", file=sys.stderr, flush=True)
    ours = prove(minimal, *options, env={"APP_ENV": "production"})
    print("default …", file=sys.stderr, flush=True)
    with production(default) as (environment, database):
        stored = prove(default, *options, "--yes", env=environment)
    print("minimal, stock worker …", file=sys.stderr, flush=True)
    stock = prove(minimal, *options, env={"APP_ENV": "production"} | STOCK)
    rows = [
        f"| {one['event']} | {lost(one)} | {slowest(one)} | {lost(two)} | {slowest(two)} | {lost(three)} |\n"
        for one, two, three in zip(ours, stored, stock, strict=True)
    ]
    return HEAD.format(database=database) + re.sub(r"\| 0 of", "| **0** of", "".join(rows)) + FOOT


def main() -> int:
    """
    Print the table, or write it.
    """
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/proof.md")
    parser.add_argument("--seconds", default="3", help="of load around each event (3)")
    parser.add_argument("--clients", default="24", help="a quarter of them never keeps a connection (24)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="steadfast-prove-") as folder:
        text = table(Path(folder), "--seconds", chosen.seconds, "--clients", chosen.clients)
    print(text, end="")
    if chosen.write:
        proof, count = BLOCK.subn(lambda match: match[1] + text + match[2], PROOF.read_text())
        if count != 1:
            raise SystemExit(f"{PROOF}: the marks of the table are missing")
        PROOF.write_text(proof)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
