"""From one run to the next: in which order, and what is left when it does not work."""

from pathlib import Path

import pytest
from release import deploy, readiness, runs, sockets
from release.machine import Machine
from release.readiness import Readiness
from release.say import Problem

from tests.release.machines import arguments, install, machine_in, systemd_of

OLD, NEW = "20260101T000000Z-0000001", "20260102T000000Z-0000002"


class Preparation:
    """Something that has to happen before a run of a new release."""

    title = "prepare"

    def __init__(self) -> None:
        self.acted: list[int] = []
        self.forgotten: list[int] = []

    def arguments(self, parser: object, back: bool) -> None:
        """It has no options."""

    def check(self, machine: Machine, change: object, arguments: object) -> None:
        """It has no objection."""

    def act(self, machine: Machine, number: int, arguments: object) -> None:
        assert f"shop@{number}.service" not in systemd_of(machine).states
        self.acted.append(number)

    def forget(self, machine: Machine, number: int) -> None:
        self.forgotten.append(number)


@pytest.fixture(autouse=True)
def preparation(monkeypatch: pytest.MonkeyPatch) -> Preparation:
    """The only thing that comes before a run."""
    only = Preparation()
    monkeypatch.setattr("release.before.parts", lambda: [only])
    return only


def change(machine: Machine, release: str, verb: str = "deploy") -> None:
    counted = deploy.steps(machine, prepare=True)
    path = machine.paths.releases / release
    deploy.change(machine, path, arguments(verb), counted, prepare=True)
    assert counted.number == counted.total


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that serves the old release as run 1."""
    monkeypatch.setattr(readiness, "ask", lambda machine: Readiness(200, "ready"))
    machine = machine_in(tmp_path)
    install(machine, OLD, ["static/old.css"])
    change(machine, OLD)
    install(machine, NEW, ["static/new.css"])
    systemd_of(machine).told.clear()
    return machine


def test_the_new_run_serves_before_the_old_one_is_stopped(machine: Machine) -> None:
    change(machine, NEW)
    told = [line for line in systemd_of(machine).told if line != "read units"]
    assert told == [
        "start shop@2.service",
        "enable shop@2.service",
        "disable shop@1.service",
        "enable shop.socket",
        "enable shop.target",
        "stop shop@1.service",
    ]
    current = runs.current(machine)
    assert current is not None
    assert (current.number, current.release) == (2, NEW)
    assert current.served
    assert not (machine.paths.runs / "1" / "environment").exists()
    assert sorted(path.name for path in machine.paths.static.iterdir()) == ["new.css", "old.css"]


def test_a_run_that_does_not_start_leaves_the_old_one_untouched(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    systemd = systemd_of(machine)
    systemd.broken.add("shop@2.service")
    message = rf"run 2 \({NEW}\) did not start.* run 1 \({OLD}\) serves on"
    with pytest.raises(Problem, match=message) as found:
        change(machine, NEW)
    assert found.value.details == "the log of shop@2.service"
    assert "stop shop@2.service" in systemd.told
    assert "stop shop@1.service" not in systemd.told
    assert "disable shop@1.service" not in systemd.told
    assert systemd.states["shop@1.service"] == "active"
    assert sockets.owner(machine) == 1
    assert not (machine.paths.runs / "2").exists()
    assert not (machine.paths.units / "shop@2.service.d").exists()
    assert not (machine.paths.gate / "2").exists()
    # And the next one works.
    systemd.broken.clear()
    change(machine, NEW)
    assert sockets.owner(machine) == 2


def test_a_first_run_that_does_not_start_leaves_no_socket(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    install(machine, NEW)
    systemd_of(machine).broken.add("shop@1.service")
    with pytest.raises(Problem, match="nothing serves"):
        change(machine, NEW)
    # Every connection would start the broken run again.
    assert sockets.owner(machine) is None
    assert "stop shop.socket" in systemd_of(machine).told


def test_an_interruption_undoes_the_new_run(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(unit: str) -> None:
        systemd_of(machine).states[unit] = "activating"
        raise KeyboardInterrupt

    monkeypatch.setattr(machine.systemd, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        change(machine, NEW)
    assert systemd_of(machine).states["shop@1.service"] == "active"
    assert "shop@2.service" not in systemd_of(machine).states
    assert sockets.owner(machine) == 1


def test_the_gate_is_there_only_for_the_start(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = []
    start = machine.systemd.start

    def look(unit: str) -> object:
        gates.append((machine.paths.gate / "2").read_text())
        return start(unit)

    monkeypatch.setattr(machine.systemd, "start", look)
    change(machine, NEW)
    assert gates == ["READY_GATE_SECONDS=30\n"]
    assert list(machine.paths.gate.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "gate"),
    [
        (Readiness(200, "ready"), "READY_GATE_SECONDS=30\n"),
        (
            Readiness(503, "unready", ["cache", "mail"]),
            "READY_GATE_SECONDS=30\nREADY_GATE_FORGIVES=cache,mail\n",
        ),
        # Anything is better than a run that does not answer.
        (Readiness(0, "timed out"), ""),
        (Readiness(500, "answers 500"), ""),
    ],
)
def test_the_new_run_has_to_be_no_less_ready_than_the_old(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, answer: Readiness, gate: str
) -> None:
    monkeypatch.setattr(readiness, "ask", lambda machine: answer)
    assert deploy.gate_for(machine, runs.current(machine)) == gate


def test_a_run_that_is_down_is_not_asked(machine: Machine) -> None:
    systemd_of(machine).states["shop@1.service"] = "failed"
    assert deploy.gate_for(machine, runs.current(machine)) == ""


def test_readiness_names_what_makes_it_unready() -> None:
    body = (
        b'{"status":"unready","checks":{"b":{"status":"down","required":true,"reason":"timeout"},'
        b'"a":{"status":"down","required":false},"c":{"status":"up","required":true}}}'
    )
    assert readiness.parse(503, body) == Readiness(503, "unready (b down)", ["b"])
    assert readiness.parse(502, b"<html>") == Readiness(502, "answers 502")


def test_only_a_new_release_is_prepared(machine: Machine, preparation: Preparation) -> None:
    assert preparation.acted == [1]
    path = machine.paths.releases / OLD
    deploy.change(machine, path, arguments("restart"), deploy.steps(machine))
    current = runs.current(machine)
    assert current is not None
    assert (current.number, current.release, current.verb) == (2, OLD, "restart")
    assert preparation.acted == [1]
    assert preparation.forgotten == [1]


def test_a_preparation_that_fails_leaves_the_old_run_untouched(
    machine: Machine, preparation: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(machine: Machine, number: int, arguments: object) -> None:
        raise Problem("it failed")

    monkeypatch.setattr(preparation, "act", fails)
    with pytest.raises(Problem, match="it failed"):
        change(machine, NEW)
    assert sockets.owner(machine) == 1
    assert preparation.forgotten == [2]
    assert "start shop@2.service" not in systemd_of(machine).told


def test_a_dry_run_changes_nothing(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    machine.shell.dry = True
    machine.paths.runs.joinpath("1", "run.json").read_text()
    change(machine, NEW)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert f"would: write {machine.paths.runs}/2/run.json" in capsys.readouterr().out
