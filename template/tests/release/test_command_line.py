"""The command line: every verb, and what people see when something is wrong."""

import io
import os
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest
from release import cli, credentials, edges, remote, say
from release.commands import secret, status
from release.host import Host
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


def test_secrets_are_for_other_hosts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(hosts: list[str], argv: list[str]) -> int:
        sent.append(hosts)
        return 0

    sent: list[list[str]] = []
    monkeypatch.setattr(remote, "forward", forward)
    for words in (["list"], ["set", "API_TOKEN"], ["unset", "API_TOKEN"]):
        assert cli.main(["secret", *words, "--host", "root@a"]) == 0
    assert sent == [["root@a"]] * 3


@pytest.mark.parametrize("words", [["--hos", "a", "list"], ["list", "--hos", "a"]])
def test_an_option_has_its_whole_name(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)


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


@pytest.mark.parametrize(
    ("given", "value"),
    [(b"a", "a"), (b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b"\xff", None)],
)
def test_a_secret_is_read_without_the_end_of_its_line(
    monkeypatch: pytest.MonkeyPatch, given: bytes, value: str | None
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    if value is None:
        with pytest.raises(Problem, match="the value of API_TOKEN is not UTF-8"):
            secret.value_of("API_TOKEN")
    else:
        assert secret.value_of("API_TOKEN") == value


@pytest.mark.parametrize("value", ["", "change-me", "https://u:change-me@h", "a\0b"])
def test_a_secret_is_one(value: str) -> None:
    with pytest.raises(Problem):
        credentials.check("API_TOKEN", value)


def test_the_proxy_without_files_is_named() -> None:
    with pytest.raises(Problem, match="no files for the proxy apache"):
        edges.load("apache")


def test_without_a_proxy_the_advice_is_where_it_listens(tmp_path: Path) -> None:
    site = machine_in(tmp_path).site(Host())
    (advice,) = edges.load("none").advice(site)
    assert "loopback only, unless" in advice
    (advice,) = edges.load("none").advice(machine_in(tmp_path / "b").site(Host(listen="10.0.0.5")))
    assert advice.endswith("it listens on 10.0.0.5")


def test_placeholders_are_filled(tmp_path: Path) -> None:
    machine = machine_in(tmp_path / "host")
    site = machine.site()
    assert site.fill("__DOMAIN__:__PORT__") == "shop.test:8000"
