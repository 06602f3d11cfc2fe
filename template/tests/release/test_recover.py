"""What killed commands leave, and what the next one makes of it."""

from pathlib import Path

import pytest
from release import recover, runs, sockets
from release.machine import Machine

from tests.release.machines import create, install, machine_in, systemd_of

OLD, NEW = "20260101T000000Z-0000001", "20260102T000000Z-0000002"


@pytest.fixture(autouse=True)
def _nothing_comes_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("release.before.parts", list)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Run 1 serves; run 2 has been made, as it is when a deploy is killed."""
    machine = machine_in(tmp_path)
    for release in (OLD, NEW):
        install(machine, release)
        create(machine, release, served="before" if release == OLD else "")
    sockets.give(machine, 1)
    enable(machine, 1)
    systemd_of(machine).states["shop@1.service"] = "active"
    systemd_of(machine).told.clear()
    return machine


def enable(machine: Machine, number: int) -> None:
    link = machine.paths.units / "shop.target.wants" / f"shop@{number}.service"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("nowhere")


@pytest.mark.parametrize("state", ["activating", "active", "deactivating"])
def test_a_run_that_was_left_over_is_stopped(machine: Machine, state: str) -> None:
    """Still starting, serving beside the old one, or crashing again and again."""
    systemd = systemd_of(machine)
    systemd.states["shop@2.service"] = state
    recover.recover(machine)
    assert systemd.told == ["stop shop@2.service"]
    assert sockets.owner(machine) == 1
    assert not (machine.paths.runs / "2").exists()
    assert not (machine.paths.units / "shop@2.service.d").exists()
    assert (machine.paths.units / "shop@1.service.d").exists()


def test_the_old_run_is_stopped_when_the_socket_was_given_away(machine: Machine) -> None:
    systemd = systemd_of(machine)
    systemd.states["shop@2.service"] = "active"
    enable(machine, 2)
    sockets.give(machine, 2)
    recover.recover(machine)
    assert systemd.told == ["stop shop@1.service", "disable shop@1.service"]
    assert sockets.owner(machine) == 2


@pytest.mark.parametrize("state", ["failed", "activating", "inactive"])
def test_whoever_serves_becomes_the_current_run(machine: Machine, state: str) -> None:
    systemd = systemd_of(machine)
    systemd.states.update({"shop@1.service": state, "shop@2.service": "active"})
    recover.recover(machine)
    current = runs.current(machine)
    assert current is not None
    assert current.number == 2
    assert current.served
    assert "stop shop@2.service" not in systemd.told
    assert "enable shop@2.service" in systemd.told


def test_a_run_that_does_not_serve_stays_the_current_one_while_nobody_else_does(
    machine: Machine,
) -> None:
    systemd_of(machine).states["shop@1.service"] = "activating"
    recover.recover(machine)
    assert sockets.owner(machine) == 1
    assert systemd_of(machine).told == []
    assert (machine.paths.runs / "1" / "environment").exists()


def test_a_current_run_that_a_boot_would_not_start_is_enabled(machine: Machine) -> None:
    (machine.paths.units / "shop.target.wants" / "shop@1.service").unlink()
    recover.recover(machine)
    assert systemd_of(machine).told == ["enable shop@1.service"]


def test_releases_that_are_not_whole_are_removed(machine: Machine) -> None:
    (machine.paths.releases / f"{NEW}.partial" / "tree").mkdir(parents=True)
    (machine.paths.releases / NEW / "manifest.json").unlink()
    recover.recover(machine)
    assert [path.name for path in machine.paths.releases.iterdir()] == [OLD]


def test_other_services_are_left_alone(machine: Machine) -> None:
    systemd_of(machine).states.update({"shop-admin@1.service": "active", "shopping@2.service": "x"})
    other = machine.paths.units / "shop-admin@2.service.d"
    other.mkdir()
    recover.recover(machine)
    assert systemd_of(machine).told == []
    assert other.exists()
    assert runs.states(machine) == {1: "active"}
