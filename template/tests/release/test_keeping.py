"""What is kept: releases to go back to, their static files, and notes."""

from pathlib import Path

import pytest
from release import lock, prune, runs, sockets, static
from release.commands import rollback
from release.machine import Machine
from release.say import Problem
from release.shell import Shell

from tests.release.machines import create, install, machine_in

NAMES = [f"2026010{day}T000000Z-000000{day}" for day in range(1, 7)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Six releases that have served, one after the other; the last one serves."""
    machine = machine_in(tmp_path)
    for name in NAMES:
        install(machine, name, ["static/common.css", f"static/{name}.css"])
        run = create(machine, name, served="then")
        static.merge(machine, machine.paths.releases / name)
        sockets.give(machine, run.number)
    return machine


def names(machine: Machine) -> list[str]:
    return [path.name for path in prune.releases(machine)]


def test_three_are_kept_beside_the_one_that_serves(machine: Machine) -> None:
    assert prune.prune(machine) == [NAMES[1], NAMES[0]]
    assert names(machine) == NAMES[:1:-1]


def test_the_one_that_serves_is_kept_however_old(machine: Machine) -> None:
    sockets.give(machine, 1)
    prune.prune(machine)
    assert names(machine) == [*NAMES[:2:-1], NAMES[0]]
    prune.prune(machine, keep=0)
    assert names(machine) == [NAMES[0]]


def test_static_files_stay_as_long_as_a_release_has_them(machine: Machine) -> None:
    files = {path.name for path in machine.paths.static.iterdir()}
    assert files == {"common.css", *(f"{name}.css" for name in NAMES)}
    # Of two with one name the newer one is served.
    assert (machine.paths.static / "common.css").read_text().endswith(NAMES[-1])
    prune.prune(machine)
    files = {path.name for path in machine.paths.static.iterdir()}
    assert files == {"common.css", *(f"{name}.css" for name in NAMES[2:])}


def test_what_a_removal_leaves_when_it_is_killed_is_known_to_be_waste(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Shell.remove

    def killed(shell: Shell, path: Path) -> None:
        if path.suffix == ".partial":
            raise KeyboardInterrupt
        remove(shell, path)

    monkeypatch.setattr(Shell, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        prune.prune(machine)
    assert NAMES[1] not in names(machine)
    assert (machine.paths.releases / f"{NAMES[1]}.partial").exists()


def test_notes_of_runs_go_with_their_release(machine: Machine) -> None:
    prune.prune(machine)
    assert [run.number for run in runs.every(machine)] == [3, 4, 5, 6]


def test_many_restarts_do_not_make_anybody_forget_a_release(machine: Machine) -> None:
    for _ in range(30):
        sockets.give(machine, create(machine, NAMES[5], served="then").number)
        prune.prune(machine)
    assert names(machine) == NAMES[:1:-1]
    assert [run.number for run in runs.every(machine)] == [3, 4, 5, 6, *range(17, 37)]


def test_a_release_that_never_served_is_not_kept(machine: Machine) -> None:
    install(machine, "20260109T000000Z-0000009")
    assert "20260109T000000Z-0000009" in prune.prune(machine)
    assert names(machine) == NAMES[:1:-1]


def test_back_is_earlier_in_time(machine: Machine) -> None:
    assert rollback.chosen(machine, NAMES[5], None) == NAMES[4]
    assert rollback.chosen(machine, NAMES[4], None) == NAMES[3]
    assert rollback.chosen(machine, NAMES[5], "0000002") == NAMES[1]


@pytest.mark.parametrize(
    ("current", "wanted", "message"),
    [
        (NAMES[0], None, "no release before"),
        (NAMES[5], "nope", "nope is no release here: 2026"),
        (NAMES[5], "2026", "2026 is more than one release here"),
        (NAMES[5], NAMES[5], "is the one that serves; to start it anew: .* restart"),
    ],
)
def test_a_release_that_cannot_be_meant_is_refused(
    machine: Machine, current: str, wanted: str | None, message: str
) -> None:
    with pytest.raises(Problem, match=message):
        rollback.chosen(machine, current, wanted)


def test_a_release_that_never_served_is_not_gone_back_to(machine: Machine) -> None:
    (machine.paths.runs / "5" / "run.json").unlink()
    assert rollback.chosen(machine, NAMES[5], None) == NAMES[3]


def test_back_is_earlier_whatever_the_clock_said(machine: Machine) -> None:
    late = "20250101T000000Z-0000009"
    install(machine, late)
    sockets.give(machine, create(machine, late, served="then").number)
    assert rollback.chosen(machine, late, None) == NAMES[5]
    sockets.give(machine, create(machine, NAMES[5], served="then").number)
    assert rollback.chosen(machine, NAMES[5], None) == NAMES[4]


@pytest.mark.parametrize(("was", "becomes"), [("a", "a/b"), ("a/b", "a")])
def test_a_name_may_turn_from_file_to_directory_and_back(
    tmp_path: Path, was: str, becomes: str
) -> None:
    machine = machine_in(tmp_path)
    for name, path in ((NAMES[0], was), (NAMES[1], becomes)):
        static.merge(machine, install(machine, name, [f"static/{path}"]))
    assert (machine.paths.static / becomes).read_text().endswith(NAMES[1])


def test_nobody_else_can_hold_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(0o644)
    with lock.hold(path, "deploy", Shell()):
        assert path.stat().st_mode & 0o777 == 0o600


def test_one_command_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    busy = pytest.raises(Problem, match=r"deploy \(pid \d+\) is at work here")
    with lock.hold(path, "deploy", Shell()), busy, lock.hold(path, "restart", Shell()):
        pytest.fail("two at once")
    with lock.hold(path, "restart", Shell()):
        assert path.read_text().startswith("restart (pid ")


def test_a_host_without_the_service_is_told_to_set_it_up(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "lock"
    with pytest.raises(Problem, match="run setup first"), lock.hold(path, "deploy", Shell()):
        pytest.fail("there is no such place")
