"""
`make prove` of a rendered service: it proves what it should, and a loss does not escape it.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts import prove as comparison
from scripts.prove import STOCK
from tests.boot.serving import each
from tests.support import processes
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, named, of

IN_FLIGHT = "in flight in that worker"
STORY = ["steady", "deploy", "deploy", "deploy", "restart", "kill", "stop"]
#: A route that fails once in a while, and a start that never succeeds.
FLAKY = """

import itertools
_counter = itertools.count(1)


@app.get("/flaky")
async def flaky() -> dict[str, str]:
    if next(_counter) % 20 == 0:
        raise RuntimeError("one in twenty")
    return {}
"""
BROKEN = '\n\nraise RuntimeError("this service is broken")\n'


def prove(project: Project, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """
    Run it, with little load around each event.
    """
    return project.run("scripts/prove", "--seconds", "0.3", *options, env=env, check=False)


def counted(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """
    Its counts, event by event, and the routes.
    """
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_make_prints_a_table(projects: Projects) -> None:
    """
    `make prove` says what it does and prints a line per event.
    """
    events = ["steady", "deploy", "stop"]
    arguments = f"ARGS=--strict --seconds 0.1 --events {','.join(events)}"
    done = projects.render(named("minimal")).sync().run("make", "prove", arguments)
    assert "GET /api/v1/zones, POST /api/v1/quotes" in done.stdout
    rows = re.findall(r"^(\w+) +[\d,]+ +(\d+) +[\d,]+ ms", done.stdout, re.M)
    assert rows == [(event, "0") for event in events]
    assert done.stdout.endswith("lost: 0\n")


def test_the_default_loses_nothing(projects: Projects, tmp_path: Path) -> None:
    """
    With nothing installed and nothing set everything is answered, and written, but not into any database that the
    environment names.
    """
    database = tmp_path / "precious.db"
    default = projects.render(named("default")).sync()
    done = prove(default, "--strict", "--json", DATABASE_URL=f"sqlite:///{database}")
    assert done.returncode == 0, done.stdout
    tallies = counted(done)["events"]
    assert [tally["event"] for tally in tallies] == STORY
    for tally in tallies:
        assert tally["lost"] == 0, tally
        outcomes = tally["outcomes"]
        assert outcomes.keys() & {"200", "201"}, tally
        # Those that nobody could answer are no more than the clients, and only where a worker was killed.
        in_flight = outcomes.pop(IN_FLIGHT, 0)
        assert outcomes.keys() <= {"200", "201"}, tally
        assert in_flight <= (8 if tally["event"] == "kill" else 0), tally
    assert not database.exists()


@each(lambda: [named("maximal"), of(database="sqlite")])
def test_every_service_can_be_proved(projects: Projects, variant: Variant) -> None:
    """
    As rendered: its routes are answered as its clients wish, and a deploy loses nothing.
    """
    done = prove(projects.render(variant).sync(), "--strict", "--json", "--events", "deploy,stop")
    assert done.returncode == 0, done.stdout
    found = counted(done)
    assert [request["method"] for request in found["requests"]] == ["GET", "POST"]
    for tally in found["events"]:
        assert tally["outcomes"].keys() <= {"200", "201"}, tally


@each(lambda: [of(example=False, database="none"), of(example=False)])
def test_without_the_example(projects: Projects, variant: Variant) -> None:
    """
    Without the example there is still a proof; nothing of it is in the settings.
    """
    project = projects.render(variant).sync()
    assert "/api/v1" not in project.read("pyproject.toml")
    done = prove(project, "--strict", "--json", "--events", "deploy,stop")
    assert done.returncode == 0, done.stdout
    assert [request["path"] for request in counted(done)["requests"]] == ["/"]


def test_a_route_is_found(projects: Projects, workplace: Path) -> None:
    """
    A GET is taken from the description of the API when none is named, and nothing is written.
    """
    project = without_names(projects.render(named("minimal")).sync().copy(workplace))
    found = counted(prove(project, "--json", "--events", "steady"))
    assert [request["path"] for request in found["requests"]] == ["/api/v1/zones"]
    assert found["events"][0]["outcomes"].keys() == {"200"}


def test_a_loss_is_seen(projects: Projects, workplace: Path) -> None:
    """
    A service that fails now and then does not pass: with --strict the exit code says so.
    """
    project = projects.render(named("minimal")).sync().copy(workplace)
    add(project, FLAKY)
    done = prove(project, "--strict", "--get", "/flaky", "--post", "", "--events", "steady")
    assert done.returncode == 1, done.stdout
    assert re.search(r"^steady +\d+ +[1-9]\d* .* [1-9]\d* 500$", done.stdout, re.M), done.stdout
    assert re.search(r"^lost: [1-9]", done.stdout, re.M)


def test_the_stock_worker_does_not_pass(projects: Projects) -> None:
    """
    The drain worker has a reason: under the same load and at the same events `UvicornWorker` loses requests.
    """
    project = projects.render(named("minimal")).sync()
    options = ("--strict", "--clients", "24", "--events", "deploy,deploy,deploy,stop")
    # In a few seconds it may be lucky, but not for long.
    outcomes = (prove(project, *options, **STOCK) for _ in range(5))
    done = next((done for done in outcomes if done.returncode), None)
    assert done
    assert re.search(r"^lost: [1-9]", done.stdout, re.M), done.stdout
    assert re.search(r"\d+ (reset|eof)", done.stdout), done.stdout


def test_a_broken_service_says_why(projects: Projects, workplace: Path) -> None:
    """
    A service that cannot start proves nothing: the end of its log, one line, exit code 1.
    """
    project = projects.render(named("minimal")).sync().copy(workplace)
    add(project, BROKEN)
    done = prove(project)
    assert done.returncode == 1
    assert "this service is broken" in done.stdout
    assert "Traceback" not in done.stdout.split("this service is broken")[-1]
    assert done.stdout.endswith("FAILED: nothing is proved\n")


@pytest.mark.parametrize("variant", [named("default"), of(database="sqlite")], ids=str)
def test_production_is_not_written_to(projects: Projects, tmp_path: Path, variant: Variant) -> None:
    """
    In the environment of production nothing is started without consent.
    """
    database = tmp_path / "precious.db"
    done = prove(projects.render(variant).sync(), APP_ENV="production", DATABASE_URL=f"sqlite:///{database}")
    assert done.returncode == 1
    assert "--yes" in done.stdout
    assert not database.exists()


def test_a_refused_post_is_shown(projects: Projects) -> None:
    """
    A body that does not fit is found before the proof, and shown with the answer.
    """
    done = prove(projects.render(named("minimal")).sync(), "--body", "{}")
    assert done.returncode == 1
    assert "POST /api/v1/quotes is answered 422" in done.stdout
    assert '"pointer":"/body/zone"' in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_it(projects: Projects, number: signal.Signals) -> None:
    """
    No server stays, however it is ended.
    """
    project = projects.render(named("minimal")).sync()
    with subprocess.Popen(
        [project.bin / "python", "scripts/prove"],
        cwd=project.path,
        env=project.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                if line.startswith("steady"):
                    break
            servers = processes.children(process.pid)
            assert servers
            process.send_signal(number)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    processes.wait_until(lambda: not any(map(processes.group, servers)), seconds=60, what="no server is left")


def test_the_table_of_the_proof(projects: Projects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `make prove` of the template puts its table between the marks of docs/proof.md, and touches nothing else.
    """

    def canned(project: Project, *options: str, env: dict[str, str]) -> list[dict[str, Any]]:
        lost = 7 if env.items() >= STOCK.items() else 0
        outcomes = {"200": 1232 - lost, "reset": lost, IN_FLIGHT: 2}
        return [{"event": "kill", "lost": lost, "outcomes": outcomes, "slowest": 1.5004}]

    proof = tmp_path / "proof.md"
    proof.write_text("before\n<!-- losses -->\nold\n<!-- /losses -->\nafter\n")
    monkeypatch.setattr(comparison, "prove", canned)
    monkeypatch.setattr(comparison, "PROOF", proof)
    monkeypatch.setattr(comparison, "Projects", lambda folder: projects)
    monkeypatch.setattr("tests.support.stack.find", lambda program: None)
    monkeypatch.setattr(Project, "sync", lambda project: project)
    monkeypatch.setattr("sys.argv", ["prove", "--write"])
    assert comparison.main() == 0
    text = proof.read_text()
    assert re.fullmatch(r"before\n<!-- losses -->\n\|.*\n<!-- /losses -->\nafter\n", text, re.S)
    ours, theirs = "**0** of 1,234, 2 in flight", "7 of 1,234, 2 in flight"
    assert f"| kill | {ours} | 1,500 ms | {ours} | 1,500 ms | {theirs} |" in text
    assert "default, embedded SQLite" in text


def add(project: Project, code: str) -> None:
    """
    Append to the composition root.
    """
    main = project / "app" / "main.py"
    main.write_text(main.read_text() + code)


def without_names(project: Project) -> Project:
    """
    Take the routes out of its pyproject.toml.
    """
    path = project / "pyproject.toml"
    text, count = re.subn(r"^(get|post|body) = .*\n", "", path.read_text(), flags=re.M)
    assert count == 3
    path.write_text(text)
    return project
