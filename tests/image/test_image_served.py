"""
The image serves: with a root that is read-only, without a capability, as a user that nobody knows. The last test stops it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import uuid

from tests.image.images import SOMEBODY, Running
from tests.support.processes import wait_until


def test_its_configuration_says_how_it_is_run(served: Running) -> None:
    """
    Nothing has to be typed behind `docker run` but what is particular to a place.
    """
    config, facts = served.image.config, served.image.facts
    assert config["User"] == f"{facts['image_user']}:0"
    assert config["Entrypoint"] is None
    assert config["Cmd"] == ["gunicorn", "app.main:app"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["WorkingDir"] == "/srv/app"
    assert set(config["ExposedPorts"]) == {"8000/tcp"}
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "serving.healthcheck"]
    environment = dict(line.split("=", 1) for line in config["Env"])
    assert environment["APP_ENV"] == "production"
    assert environment["PATH"].startswith("/srv/app/.venv/bin:")
    assert ("DATABASE_URL" in environment) == facts["has_sqlite"]
    data = f"/var/lib/{facts['project_slug']}"
    assert list(config["Volumes"] or {}) == ([data] if facts["has_sqlite"] else [])


def test_it_keeps_the_contract(served: Running) -> None:
    """
    An answer of each kind, as docs/contract.md has it; and the example works, which needs the migrations.
    """
    client, facts = served.client, served.image.facts
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    checks = {"database": {"status": "up", "required": True}} if facts["has_database"] else {}
    assert client.get("/ready").json() == {"status": "ready", "checks": checks}

    answer = client.get("/nowhere", headers={"X-Request-ID": "of-the-image-tier"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "of-the-image-tier"

    assert client.get(facts["example_get"]).status_code == 200
    assert served.alone(facts["example_post"], body(served)) in {200, 201}
    wait_until(lambda: "of-the-image-tier" in served.container.logs(), seconds=5, what="the access line")
    lines = [json.loads(line) for line in served.container.logs().splitlines() if "of-the-image-tier" in line]
    assert [line["status"] for line in lines] == [404]


def body(service: Running) -> bytes:
    """
    Something new for the example: no two have the same name.
    """
    return str(service.image.facts["example_body"]).replace("{n}", uuid.uuid4().hex).encode()


def test_it_can_change_nothing(served: Running) -> None:
    """
    It is somebody without a name or a right, and there is no place for a file but its data and memory.
    """
    assert served.container.exec("id", "-u").stdout.strip() == SOMEBODY.partition(":")[0]
    for place in ("/srv/app", "/srv/app/.venv", "/tmp", "/var/lib", "/"):
        assert served.container.exec("touch", f"{place}/file", check=False).returncode != 0, place
    data = f"/var/lib/{served.image.facts['project_slug']}"
    if served.image.facts["has_sqlite"]:
        served.container.exec("touch", f"{data}/file")


def test_its_health_check_is_content(served: Running) -> None:
    """
    By what the image says, every second instead of every five.
    """
    served.container.wait_healthy(seconds=20)
    assert served.container.state["Health"]["Log"][-1]["Output"].startswith('200 {"status":"ready"')


def test_orphans_are_reaped(served: Running) -> None:
    """
    gunicorn is process 1, where those end whose parent has ended: no zombie stays.
    """
    served.container.exec("sh", "-c", "sleep 0.3 & sleep 0.3 &")
    wait_until(lambda: "sleep" not in {row[0] for row in served.processes().values()}, seconds=20, what="no zombie")
    assert not [row for row in served.processes().values() if row[1] == "Z"]
    assert served.processes()[1][0] == "gunicorn"
    assert served.client.get("/health").status_code == 200


def test_a_stop_finishes_what_has_begun_and_takes_what_comes(served: Running) -> None:
    """
    TERM with a request half sent: new connections are served while /ready says 503, the old request is answered, exit 0.
    """
    workers = len(served.workers())
    path, sent = str(served.image.facts["example_post"]), body(served)
    with contextlib.closing(http.client.HTTPConnection(served.address, timeout=30)) as begun:
        begun.putrequest("POST", path)
        begun.putheader("Content-Type", "application/json")
        begun.putheader("Content-Length", str(len(sent)))
        begun.endheaders(sent[:5])
        served.container.signal("TERM")
        wait_until(lambda: served.alone("/ready") == 503, seconds=10, what="/ready says draining")
        answers = []
        # Until nobody listens any more: that is the end of the accept phase.
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            while True:
                answers += [served.alone("/health"), served.alone(path, body(served))]
        assert answers
        assert set(answers) <= {200, 201}
        begun.send(sent[5:])
        answer = begun.getresponse()
        assert answer.status in {200, 201}
        assert answer.headers["Connection"] == "close"
        answer.read()
    assert served.container.wait(seconds=60) == 0
    assert served.container.logs().count("Application shutdown complete") == workers == (os.cpu_count() or 1)
