"""
A service has a bad hour, and comes out of it: default and maximal.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGKILL, SIGTERM

import httpx2
import pytest

from tests.boot.faulty_routes import with_faulty_routes
from tests.boot.serving import BRIEFLY, Environment, default_and_maximal, each, find_line
from tests.boot.test_contract_errors import is_problem
from tests.support.processes import alive, wait_until
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.service import Service
from tests.support.variants import Variant


@pytest.fixture
def project(projects: Projects, variant: Variant, workplace: Path) -> Project:
    """
    A copy of the variant with routes that misbehave.
    """
    return with_faulty_routes(projects.render(variant).sync(), workplace)


def errors(service: Service) -> list[dict[str, object]]:
    """The lines of standard error, parsed."""
    return [json.loads(line) for line in service.stderr().splitlines() if line.startswith("{")]


@each(default_and_maximal)
def test_a_request_in_flight_survives_a_stop(project: Project, in_production: Environment) -> None:
    """
    TERM in the middle of a request: it is answered in full, then the service ends with 0.
    """
    with project.serve(env=BRIEFLY | in_production(project)) as service, ThreadPoolExecutor() as threads:
        slow = threads.submit(httpx2.get, f"{service.base_url}/faulty/slow?seconds=2", timeout=60)
        wait_until(lambda: "slow began" in service.stderr(), seconds=60, what="the request has reached its handler")
        service.signal(SIGTERM)
        assert slow.result().status_code == 200
        service.process.wait(60)
        assert service.returncode == 0


@each(default_and_maximal)
def test_lifespans_are_shut_down_with_a_stream_open(project: Project, in_production: Environment) -> None:
    """
    A client that listens for ever does not keep the service from ending properly, in its time.
    """
    environment = BRIEFLY | in_production(project) | {"REQUEST_SECONDS": "2"}
    with project.serve(env=environment) as service:
        with httpx2.stream("GET", f"{service.base_url}/faulty/stream") as answer:
            parts = answer.iter_raw()  # kept: the stream is closed with its iterator
            assert next(parts)
            assert service.stop() > 2, "the request budget"
        assert service.returncode == 0
        assert service.stderr().count("Application shutdown complete") == service.workers


@each(default_and_maximal)
def test_a_killed_worker_is_replaced(project: Project, in_production: Environment) -> None:
    """
    kill -9 of one worker: the other goes on answering, and soon there are two again.
    """
    with project.serve(env=BRIEFLY | in_production(project)) as service:
        victim = service.worker_pids()[0]
        service.signal(SIGKILL, victim)
        wait_until(
            lambda: len(service.worker_pids()) == 2 and victim not in service.worker_pids(),
            seconds=60,
            what="a new worker",
        )
        for _ in range(50):
            assert httpx2.get(f"{service.base_url}/ready").status_code == 200


@each(default_and_maximal)
def test_no_orphan_survives_the_master(project: Project, in_production: Environment) -> None:
    """
    kill -9 of the master: its workers notice and end, so that nothing keeps the port.
    """
    with project.serve(env=BRIEFLY | in_production(project)) as service:
        workers = service.worker_pids()
        service.signal(SIGKILL)
        service.process.wait(60)
        wait_until(lambda: not any(map(alive, workers)), seconds=60, what="the workers end")
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{service.base_url}/health")


@each(default_and_maximal)
def test_a_blocked_event_loop_is_named_and_replaced(project: Project, in_production: Environment) -> None:
    """
    The worker that hangs is killed and replaced; the log has the line that blocked it.
    """
    environment = BRIEFLY | in_production(project) | {"HEARTBEAT_SECONDS": "3"}
    with project.serve(env=environment) as service:
        before = set(service.worker_pids())
        threading.Thread(target=_ignoring_errors, args=(f"{service.base_url}/faulty/block?seconds=60",)).start()
        wait_until(
            lambda: len(service.worker_pids()) == 2 and set(service.worker_pids()) != before,
            seconds=60,
            what="a new worker",
        )
        assert len(before & set(service.worker_pids())) == 1, "the other worker was left alone"
        wait_until(lambda: "faulty_routes.py" in service.stderr(), seconds=60, what="the traceback")
        line = (project / "app/faulty_routes.py").read_text().splitlines().index("    time.sleep(seconds)") + 1
        tracebacks = [str(record["exception"]) for record in errors(service) if "exception" in record]
        assert any(f"line {line} in block" in text for text in tracebacks), tracebacks


def _ignoring_errors(url: str) -> None:
    with contextlib.suppress(httpx2.HTTPError):
        httpx2.get(url, timeout=30)


@each(default_and_maximal)
def test_a_bug_is_a_500_that_tells_the_log_everything_and_the_client_nothing(
    project: Project, in_production: Environment
) -> None:
    """
    The traceback stands in the log under the request id that the client was given.
    """
    with project.serve(env=BRIEFLY | in_production(project)) as service:
        answer = service.get("/faulty/boom")
        body = is_problem(answer, 500, "internal-error")
        assert "secret cause" not in answer.text
        tracebacks = find_line(
            lambda: [line for line in errors(service) if "exception" in line], str(body["request_id"])
        )
        assert 'raise LookupError("the secret cause")' in str(tracebacks["exception"])
        line = find_line(service.access_lines, str(body["request_id"]))
        assert (line["status"], line["route"]) == (500, "/faulty/boom")
        assert service.get("/ready").status_code == 200


@each(default_and_maximal)
def test_a_late_answer_is_a_504(project: Project, in_production: Environment) -> None:
    """
    The client hears of it when the budget of the request is used up, not when its own patience is.
    """
    environment = BRIEFLY | in_production(project) | {"REQUEST_SECONDS": "1"}
    with project.serve(env=environment) as service:
        begun = time.monotonic()
        answer = service.get("/faulty/slow?seconds=60", timeout=50)
        assert time.monotonic() - begun > 0.9
        body = is_problem(answer, 504, "deadline-exceeded")
        assert find_line(service.access_lines, str(body["request_id"]))["status"] == 504


@each(default_and_maximal)
def test_a_client_that_left_is_logged_as_499(project: Project, in_production: Environment) -> None:
    """
    The access log tells an answer nobody waited for from one that was sent.
    """
    with project.serve(env=BRIEFLY | in_production(project)) as service:
        url = f"{service.base_url}/faulty/stream"
        with httpx2.stream("GET", url, headers={"X-Request-ID": "client-that-left"}) as answer:
            assert next(answer.iter_raw())
        assert find_line(service.access_lines, "client-that-left")["status"] == 499


@each(default_and_maximal)
def test_ready_is_announced_when_the_last_worker_serves(
    project: Project, in_production: Environment, tmp_path: Path
) -> None:
    """
    One worker starts when it is allowed to: READY=1 waits for it, though the first answers already.
    """
    environment = in_production(project) | {"FIRST_WORKER_FLAG": str(tmp_path / "first")}
    with project.serve(env=BRIEFLY | environment, ready="started") as service:
        wait_until(lambda: _answers(service), seconds=60, what="the first worker answers")
        assert "READY=1" not in service.read_notifications()
        (tmp_path / "first.others").touch()
        wait_until(lambda: "READY=1" in service.read_notifications(), seconds=60, what="READY=1")
        assert service.read_notifications().count("READY=1") == 1
        assert service.stderr().count("Application startup complete") == 2


def _answers(service: Service) -> bool:
    try:
        return httpx2.get(f"{service.base_url}/health", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


@each(default_and_maximal)
def test_a_missing_variable_stops_the_start_with_one_message(project: Project) -> None:
    """
    Production names what is missing, without a traceback, and ends.
    """
    with project.serve(env={"APP_ENV": "production", "TRUSTED_PROXIES": "nobody"}, ready="started") as service:
        assert service.process.wait(20) not in (0, None)
        said = service.logs()
        assert "DATABASE_URL" in said
        assert "TRUSTED_PROXIES" in said
        assert "Traceback" not in said
        assert said.count("DATABASE_URL") == said.count("TRUSTED_PROXIES"), "each message names all of it"
