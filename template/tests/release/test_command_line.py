"""The command line: every verb, and what people see when something is wrong."""

import os
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest
from release import cli, credentials, edges, say
from release.commands import status
from release.say import Problem, Steps
from release.shell import Shell

from tests.release.machines import machine_in

TOOL = Path(cli.__file__).parents[1]


def test_every_verb_has_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in cli.VERBS:
        with pytest.raises(SystemExit) as found:
            cli.main([verb, "--help"])
        assert found.value.code == 0
        assert f" {verb} " in capsys.readouterr().out


def test_it_runs_as_a_directory_and_as_one_file(tmp_path: Path) -> None:
    packed = tmp_path / "release.pyz"
    zipapp.create_archive(TOOL, packed)
    for tool in (TOOL, packed):
        done = subprocess.run(
            [sys.executable, "-I", str(tool), "list"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_a_problem_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: object) -> int:
        raise Problem("the disk is full; remove something", "what was logged")

    monkeypatch.setattr(status, "run", run)
    assert cli.main(["status"]) == 1
    problem = "what was logged\nproblem: the disk is full; remove something\n"
    assert capsys.readouterr().err == problem


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "problem: interrupted"),
        (
            PermissionError(13, "Permission denied", "/opt/x"),
            1,
            "problem: Permission denied (/opt/x)",
        ),
        (
            OSError(28, "No space left on device", "/opt/x"),
            1,
            "problem: the disk is full (/opt/x); make room",
        ),
    ],
)
def test_nobody_sees_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    def run(arguments: object) -> int:
        raise error

    monkeypatch.setattr(status, "run", run)
    assert cli.main(["status"]) == code
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize("argv", [["--dry-run", "status"], ["status", "--dry-run"]])
def test_what_holds_for_every_verb_may_stand_before_and_after_it(
    monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setattr(status, "run", lambda arguments: 7 if arguments.dry_run else 0)
    assert cli.main(argv) == 7


def test_steps_are_numbered_and_timed(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(2)
    with steps.step("look"):
        pass
    with steps.step("leap"):
        say.line("something in between")
    assert capsys.readouterr().out.splitlines() == [
        "[1/2] look (0.0 s)",
        "[2/2] leap",
        "something in between",
        "      (0.0 s)",
    ]


def test_a_reader_that_has_left_does_not_stop_what_was_begun() -> None:
    program = "from release import say\nfor i in range(9999): say.line('x' * 99)\nsay.warn('done')"
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "$0" | head -1', program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(TOOL), "PATH": os.environ["PATH"]},
    )
    assert (done.stdout, done.stderr) == ("x" * 99 + "\n", "warning: done\n")


def test_a_command_that_fails_is_a_problem_with_its_output() -> None:
    with pytest.raises(Problem, match=r"sh -c .* failed \(3\)") as found:
        Shell().run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert found.value.details == "out\nerr"
    assert Shell().run(["no-such-command"], check=False).returncode == 127
    assert Shell(dry=True).run(["false"]).returncode == 0


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    shell, path = Shell(), tmp_path / "folder" / "file"
    assert shell.write(path, "one", 0o640)
    assert not shell.write(path, "one", 0o640)
    assert shell.write(path, "one", 0o600)
    with pytest.raises(LookupError):
        shell.write(path, "two", group="no-such-group-here")
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["lower", "1ST", "A-B", "../X", ""])
def test_a_secret_has_the_name_of_a_variable(name: str) -> None:
    with pytest.raises(Problem, match="not the name of a variable"):
        credentials.check(name, "value")


@pytest.mark.parametrize("value", ["", "change-me", "https://u:change-me@h", "a\0b"])
def test_a_secret_is_one(value: str) -> None:
    with pytest.raises(Problem):
        credentials.check("API_TOKEN", value)


def test_the_proxy_without_files_is_named() -> None:
    with pytest.raises(Problem, match="no files for the proxy apache"):
        edges.load("apache")


def test_placeholders_are_filled(tmp_path: Path) -> None:
    machine = machine_in(tmp_path / "host")
    site = machine.site()
    assert site.fill("__DOMAIN__:__PORT__") == "shop.test:8000"
