"""What the doctor looks at, and how it says it."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from release import doctor, readiness, runs
from release.doctor import Finding, client, clock, disk, drift, environment, journal, sockets, tls
from release.machine import Machine
from release.readiness import Readiness
from release.runs import Run
from release.say import Problem
from release.shell import Result

from tests.release.machines import install, machine_in, systemd_of


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)


@pytest.fixture
def running(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which run 1 serves."""
    install(machine, "r1")
    run = Run(1, "r1", "deploy", "")
    runs.create(machine, run)
    monkeypatch.setattr(runs, "current", lambda machine: run)
    return machine


def answers(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, output: str = "", code: int = 0
) -> list[Sequence[str]]:
    """Have every question to the system answered like this; return what was asked."""
    asked: list[Sequence[str]] = []

    def ask(argv: Sequence[str], **options: Any) -> Result:
        asked.append(argv)
        return subprocess.CompletedProcess(list(argv), code, output, output)

    monkeypatch.setattr(machine.shell, "ask", ask)
    return asked


def levels(findings: Iterator[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def test_the_table_says_what_to_do_and_fails_when_something_hurts(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        ("disk", doctor.ok("plenty")),
        ("disk", doctor.warn("little", "make room")),
        ("time", doctor.ok("right")),
    ]
    monkeypatch.setattr(doctor, "examine", lambda machine: iter(found))
    assert doctor.report(machine) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    disk           plenty",
        "warn                 little",
        "                     > make room",
        "ok    time           right",
        "2 ok, 1 warn, 0 fail",
    ]
    found.append(("time", doctor.fail("wrong", "release restart")))
    assert doctor.report(machine) == 1
    # What can be typed.
    assert "python3 deploy/release" in capsys.readouterr().out.splitlines()[-1]


def test_one_that_cannot_look_does_not_keep_the_others_from_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(machine: Machine) -> Iterator[Finding]:
        raise Problem("it is dark")

    monkeypatch.setattr(clock, "check", stumble)
    answers(monkeypatch, machine)
    found = list(doctor.examine(machine))
    assert ("time", doctor.warn("cannot be looked at: it is dark", "see the message")) in found
    assert {"client", "disk", "environment"} & {title for title, _ in found} >= {"disk"}


@pytest.mark.parametrize(("output", "level"), [("yes\n", "ok"), ("no\n", "warn")])
def test_the_clock(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, output: str, level: str
) -> None:
    answers(monkeypatch, machine, output)
    assert levels(clock.check(machine)) == [level]


@pytest.mark.parametrize(("free", "level"), [(2**31, "ok"), (2**29, "warn"), (2**27, "fail")])
def test_room_on_the_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, level: str
) -> None:
    known = list(os.statvfs(tmp_path))
    known[1], known[4] = 1, free
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(known))
    assert disk.look(tmp_path).level == level


@pytest.mark.parametrize(("left", "level"), [(80, "ok"), (24, "warn"), (9, "fail"), (-1, "fail")])
def test_a_share_of_the_certificates_life_counts(left: int, level: str) -> None:
    for day in (86_400, 43_200):  # of long-lived certificates and of short-lived ones
        assert tls.judge("a.test", 0, 100 * day, (100 - left) * day).level == level


def test_the_client_is_who_it_is() -> None:
    assert client.judge("203.0.113.7", "203.0.113.7").level == "ok"
    pretended = client.judge(client.PRETENDED, "203.0.113.7")
    assert (pretended.level, "anybody" in pretended.text) == ("fail", True)
    assert client.judge(None, "203.0.113.7").level == "fail"
    assert client.judge("127.0.0.1", "203.0.113.7").level == "fail"


def test_the_access_line_of_the_request_is_found(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["text doctor-1", json.dumps({"request_id": "doctor-1", "client": "192.0.2.1"}), "{}"]
    answers(monkeypatch, machine, "\n".join(lines))
    assert client.find(machine, "doctor-1") == {"request_id": "doctor-1", "client": "192.0.2.1"}
    monkeypatch.setattr(client, "SECONDS", 0.01)
    assert client.find(machine, "doctor-2") is None


def test_a_journal_without_limits_is_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, machine, "#SystemMaxUse=\n")
    assert "tenth of the disk" in " ".join(each.text for each in journal.check(machine))
    answers(monkeypatch, machine, "[Journal]\nSystemMaxUse=500M\n")
    assert "may take 500M" in " ".join(each.text for each in journal.check(machine))


def test_a_queue_that_the_kernel_cuts_is_named(
    running: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap = tmp_path / "somaxconn"
    monkeypatch.setattr(sockets, "CAP", cap)
    monkeypatch.setattr(systemd_of(running), "show", lambda *_: {"Backlog": "2048"})
    monkeypatch.setattr(systemd_of(running), "is_active", lambda unit: True)
    monkeypatch.setattr(readiness, "ask", lambda machine: Readiness(200, "ready"))
    cap.write_text("4096\n")
    assert levels(sockets.check(running)) == ["ok", "ok"]
    cap.write_text("128\n")
    monkeypatch.setattr(readiness, "ask", lambda machine: Readiness(503, "unready (x down)"))
    assert levels(sockets.check(running)) == ["warn", "fail"]


def test_units_that_somebody_changed_are_named(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "systemd").mkdir(parents=True)
    (tmp_path / "project" / "systemd" / "service.socket").write_text("as rendered")
    monkeypatch.setattr(Machine, "source", tmp_path / "project")
    assert [each.text for each in drift.check(machine)] == [
        f"missing: {machine.paths.unit('shop.socket')}"
    ]
    machine.shell.write(machine.paths.unit("shop.socket"), "as edited")
    assert levels(drift.check(machine)) == ["warn"]
    machine.shell.write(machine.paths.unit("shop.socket"), "as rendered")
    assert levels(drift.check(machine)) == ["ok"]


def test_the_environment_is_the_runs_and_the_release_accepts_it(
    running: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "modes", lambda machine, secrets: iter(()))
    answers(monkeypatch, running)
    assert levels(environment.check(running)) == ["ok"]
    running.paths.environment.write_text("LOG_LEVEL=debug\nAPI_TOKEN=change-me\n")
    (running.paths.credentials / "API_TOKEN").write_text("hidden")
    refusal = "The service does not start:\n  - API_TOKEN: too short\nA variable is read from …\n"
    asked = answers(monkeypatch, running, refusal, 1)
    text = "\n".join(each.text for each in environment.check(running))
    assert "API_TOKEN is still a placeholder" in text
    assert "API_TOKEN is a secret and in" in text
    assert "the environment is not that of run 1" in text
    assert "the secrets are not those of run 1" in text
    assert "the release refuses it: API_TOKEN: too short" in text
    assert "hidden" not in text + str(asked)


def test_a_secret_that_others_may_read_is_named(machine: Machine) -> None:
    secret = machine.paths.credentials / "API_TOKEN"
    secret.write_text("hidden")
    secret.chmod(0o644)
    text = "\n".join(each.text for each in environment.modes(machine, [secret]))
    assert f"{secret} has mode 0644" in text


def test_the_own_address_is_one_of_this_host() -> None:
    address = client.own_address()
    with socket.socket() as found:
        found.bind((address, 0))
