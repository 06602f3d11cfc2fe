"""A run: a release, and copies of the environment and the secrets as they were."""

import json
import stat
from pathlib import Path

import pytest
from release import runs, sockets
from release.recover import recover
from release.say import Problem

from tests.release.machines import create, install, machine_in, systemd_of

RELEASE = "20260101T000000Z-0000001"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_run_keeps_what_it_was_started_with(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    install(machine, RELEASE)
    machine.paths.environment.write_text("# a comment\n\nLOG_LEVEL=debug\nWEB_CONCURRENCY=\n")
    (machine.paths.credentials / "API_TOKEN").write_text("s3cret")

    run = create(machine, RELEASE)

    directory = machine.paths.runs / "1"
    assert run.number == 1
    assert (directory / "release").resolve() == (machine.paths.releases / RELEASE).resolve()
    # Empty is unset, and gunicorn stumbles over an empty WEB_CONCURRENCY.
    assert (directory / "environment").read_text() == "LOG_LEVEL=debug\n"
    assert mode(directory / "environment") == 0o640
    assert (directory / "credentials" / "API_TOKEN").read_text() == "s3cret"
    assert mode(directory / "credentials") == 0o700
    assert mode(directory / "credentials" / "API_TOKEN") == 0o600
    machine.paths.environment.write_text("LOG_LEVEL=error\n")
    assert (directory / "environment").read_text() == "LOG_LEVEL=debug\n"


def test_its_unit_gets_its_secrets_and_is_read(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    (machine.paths.credentials / "API_TOKEN").write_text("s3cret")
    create(machine, RELEASE)
    drop_in = (machine.paths.units / "shop@1.service.d" / "run.conf").read_text()
    assert f"LoadCredential=API_TOKEN:{machine.paths.runs}/1/credentials/API_TOKEN\n" in drop_in
    assert "s3cret" not in drop_in
    assert "Timeout" not in drop_in
    assert systemd_of(machine).told == ["read units"]


@pytest.mark.parametrize("damage", ["", "[]", '{"number": "1"}', '{"number": 1, "release": null}'])
def test_a_run_without_a_note_serves_nevertheless(tmp_path: Path, damage: str) -> None:
    machine = machine_in(tmp_path)
    install(machine, RELEASE)
    sockets.give(machine, create(machine, RELEASE, served="then").number)
    (machine.paths.runs / "1" / "run.json").write_text(damage)
    found = runs.current(machine)
    assert found is not None
    assert (found.number, found.release, bool(found.served)) == (1, RELEASE, True)
    recover(machine)
    assert runs.every(machine) == [found]


def test_what_a_newer_tool_notes_is_left_out(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    run = create(machine, RELEASE)
    note = machine.paths.runs / "1" / "run.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "colour": "green"}))
    assert runs.every(machine) == [run]


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "soon"])
def test_a_time_that_is_none_is_left_to_the_service(tmp_path: Path, value: str) -> None:
    machine = machine_in(tmp_path)
    assert runs.stop_seconds(machine, {"REQUEST_SECONDS": value}) == 46


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ("REQUEST_SECONDS=100\n", "TimeoutStopSec=116"),
        ('LAME_DUCK_SECONDS="10"\n', "TimeoutStopSec=53"),
        ("HEARTBEAT_SECONDS=120\n", "WatchdogSec=180"),
    ],
)
def test_times_that_the_environment_moves_move_in_the_unit(
    tmp_path: Path, environment: str, line: str
) -> None:
    machine = machine_in(tmp_path)
    machine.paths.environment.write_text(environment)
    create(machine, RELEASE)
    assert line in (machine.paths.units / "shop@1.service.d" / "run.conf").read_text().splitlines()


def test_shorter_times_leave_the_unit_as_it_is(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    machine.paths.environment.write_text("REQUEST_SECONDS=5\nHEARTBEAT_SECONDS=5\n")
    create(machine, RELEASE)
    assert "Sec=" not in (machine.paths.units / "shop@1.service.d" / "run.conf").read_text()


def test_numbers_go_upwards_also_past_what_only_systemd_knows(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    assert create(machine, RELEASE).number == 1
    assert create(machine, RELEASE).number == 2
    systemd_of(machine).states["shop@7.service"] = "failed"
    systemd_of(machine).states["shop-admin@9.service"] = "active"
    assert create(machine, RELEASE).number == 8


@pytest.mark.parametrize(
    "text",
    [
        "just words\n",
        "1ST=x\n",
        "A=b\\\nc\n",
        "A=b\\ \nc\n",
        'A="b\n',
        "A='b\n",
        'A="\n',
        'A="b\\"\n',
    ],
)
def test_an_environment_that_is_none_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    machine = machine_in(tmp_path)
    machine.paths.environment.write_text(f"# first\n{text}")
    with pytest.raises(Problem, match=r"environment, line 2: write NAME=value"):
        create(machine, RELEASE)
    assert not (machine.paths.runs / "1" / "environment").exists()


@pytest.mark.parametrize("value", ['"b c"', "'b'", 'b"c', '"b\\"c"', "b c"])
def test_an_environment_that_systemd_reads_alike_is_taken(tmp_path: Path, value: str) -> None:
    machine = machine_in(tmp_path)
    machine.paths.environment.write_text(f"A={value}\n")
    create(machine, RELEASE)
    assert (machine.paths.runs / "1" / "environment").read_text() == f"A={value}\n"


def test_a_run_that_is_over_leaves_its_note_and_no_secret(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    (machine.paths.credentials / "API_TOKEN").write_text("s3cret")
    create(machine, RELEASE)
    runs.finish(machine, 1)
    assert sorted(path.name for path in (machine.paths.runs / "1").iterdir()) == [
        "release",
        "run.json",
    ]
    assert not (machine.paths.units / "shop@1.service.d").exists()
    assert [run.number for run in runs.every(machine)] == [1]


def test_the_socket_says_which_run_is_the_current_one(tmp_path: Path) -> None:
    machine = machine_in(tmp_path)
    assert runs.current(machine) is None
    run = create(machine, RELEASE)
    sockets.give(machine, 1)
    assert runs.current(machine) == run
    assert "ListenStream" not in sockets.path(machine).read_text()


@pytest.mark.parametrize(
    ("told", "added"),
    [
        ({}, []),
        ({"port": 8001}, ["127.0.0.1:8001"]),
        ({"listen": "10.0.0.5"}, ["127.0.0.1:8000", "10.0.0.5:8000"]),
        ({"listen": "2001:db8::5", "port": 8001}, ["127.0.0.1:8001", "[2001:db8::5]:8001"]),
        ({"listen": "0.0.0.0"}, ["0.0.0.0:8000"]),
    ],
)
def test_the_socket_listens_where_setup_was_told(
    tmp_path: Path, told: dict[str, object], added: list[str]
) -> None:
    machine = machine_in(tmp_path, socket_path="")
    values = json.loads(machine.paths.host.read_text())
    machine.paths.host.write_text(json.dumps({**values, **told}))
    sockets.give(machine, 3)
    lines = sockets.path(machine).read_text().splitlines()
    streams = [line for line in lines if line.startswith("ListenStream=")]
    assert streams == [f"ListenStream={address}" for address in ["", *added] if added]
    assert lines[-1] == "Service=shop@3.service"


def test_a_dry_run_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = machine_in(tmp_path, dry=True)
    create(machine, RELEASE)
    assert list(machine.paths.runs.iterdir()) == []
    assert f"would: write {machine.paths.runs}/1/environment" in capsys.readouterr().out
