"""Other hosts, over an ssh that runs the command here instead."""

import getpass
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from release import build, cli, hosts, remote, ssh
from release.say import Problem
from release.target import here

TOOL = Path(cli.__file__).parents[1]

# What ssh does: after the options a host, then a command for a shell. Hosts called broken fail, and
# what was asked for is written down.
SSH = """\
#!/bin/sh
while [ "$1" != -- ]; do [ "$1" = -O ] && exit 0; shift; done
[ "$2" = unreachable ] && { echo "no route" >&2; exit 255; }
printf '%s\\n' "$2 $3" >> "$ASKED"
PLACE=$2 exec sh -c "$3"
"""

# A host's python3: what is asked of the tool there is noted, facts are answered.
PYTHON = """\
#!/bin/sh
[ "$1" = -B ] || exec {python} "$@"
echo "$PLACE: $*" | sed "s|/[^ ]*/deploy/release|release|" >> "$SEEN"
case "$*" in
  *\\ facts*) echo '{{"installed": true, "target": "{target}", "domain": "", "release": "r1"}}' ;;
  *\\ slow*) trap 'echo cleared; exit 130' INT; echo begun; sleep 30 & wait ;;
  *\\ secret*) cat >> "$SEEN" ;;
esac
[ "$PLACE" = broken ] && case "$*" in *\\ facts*) ;; *) exit 7 ;; esac
exit 0
"""


class There:
    """What the hosts were asked."""

    def __init__(self, folder: Path) -> None:
        self.seen_file = folder / "seen"
        self.asked_file = folder / "asked"

    @property
    def seen(self) -> list[str]:
        """The command lines of the tool, host first."""
        return self.seen_file.read_text().splitlines() if self.seen_file.exists() else []

    @property
    def folders(self) -> list[str]:
        """The folders of the tool that are still there."""
        return [path.name for path in self.seen_file.parent.glob("*-release.*")]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> There:
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {
        "ssh": SSH,
        "python3": PYTHON.format(python=sys.executable, target=here()),
        "sudo": '#!/bin/sh\nshift\nexec "$@"\n',
    }
    for name, text in scripts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    found = There(tmp_path)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SEEN", str(found.seen_file))
    monkeypatch.setenv("ASKED", str(found.asked_file))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    return found


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["release", *words])
    return cli.main(list(words))


def test_a_command_is_sent_as_it_was_typed(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    code = run(monkeypatch, "exec", "--host", "a", "--", "sh", "-c", "echo --host 'x y'")
    assert code == 0
    assert there.seen == ["a: -B release exec -- sh -c echo --host 'x y'"]
    assert there.folders == []


def test_the_exit_code_is_kept(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "rollback", "--host=broken") == 7


def test_the_first_that_fails_ends_what_changes_hosts(
    there: There, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--host", "a", "--host", "broken", "--host", "c")
    assert run(monkeypatch, "restart", *words) == 7
    assert there.seen == ["a: -B release restart", "broken: -B release restart"]
    assert "stopped at broken; untouched: c" in capfd.readouterr().out


def test_who_only_looks_looks_everywhere(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--host", "a", "--host", "broken", "--host", "c")
    assert run(monkeypatch, "status", *words) == 7
    assert [line.partition(":")[0] for line in there.seen] == ["a", "broken", "c"]


def test_nothing_is_done_to_the_first_when_the_last_is_out_of_reach(
    there: There, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "restart", "--host", "a", "--host", "unreachable") == 1
    assert there.seen == []
    assert there.folders == []
    assert "unreachable cannot be reached by ssh" in capfd.readouterr().err


def test_a_deploy_is_built_once_and_the_others_join(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []

    def make(root: Path, slug: str, target: object, kind: str, folder: Path, dry: bool) -> Path:
        built.append(folder / f"{slug}-{kind}.tar.gz")
        built[-1].write_text("artifact")
        return built[-1]

    monkeypatch.setattr(build, "build", make)
    words = ("deploy", "--host", "a", "--host", "b", "--kind", "source", "--keep", "5")
    assert run(monkeypatch, *words) == 0
    assert len(built) == 1
    assert not built[0].exists()
    done = [line for line in there.seen if " facts" not in line]
    assert [line.rpartition(" /")[0] for line in done] == [
        "a: -B release deploy --keep 5 --artifact",
        "b: -B release deploy --keep 5 --artifact",
    ]
    assert [line.endswith(" --joining") for line in done] == [False, True]


def test_a_deploy_that_ends_half_way_says_who_is_where(
    there: There, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def make(*words: object) -> Path:
        path = Path(str(words[4])) / "made.tar.gz"
        path.write_text("artifact")
        return path

    monkeypatch.setattr(build, "build", make)
    words = ("deploy", "--host", "a", "--host", "broken", "--host", "c")
    assert run(monkeypatch, *words) == 7
    out = capfd.readouterr().out
    assert "stopped at broken; untouched: c" in out
    assert out.splitlines()[-3:] == ["a: r1", "broken: r1", "c: r1"]


def test_a_secret_is_read_once_for_all_hosts(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hidden\n")))
    assert run(monkeypatch, "--host", "a", "--host", "b", "secret", "set", "API_TOKEN") == 0
    assert there.seen == [
        line for host in "ab" for line in (f"{host}: -B release secret set API_TOKEN", "hidden")
    ]
    assert "hidden" not in there.asked_file.read_text()


def test_a_secret_is_typed_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"typed at {prompt}")
    assert remote.typed("API_TOKEN") == b"typed at API_TOKEN: "


def test_an_interrupt_reaches_the_host_which_clears_up(there: There, tmp_path: Path) -> None:
    program = (
        "from release import hosts\nwith hosts.Hosts(['a']) as found:\n    found.each(['slow'])\n"
    )
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(TOOL)},
        )
        wait_for(output, "begun")
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert "cleared" in output.read_text()
    assert there.folders == []


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["", "-oProxyCommand=id", "a b"])
def test_what_is_no_host_never_reaches_ssh(name: str) -> None:
    with pytest.raises(Problem, match="is not a host"):
        ssh.Connection(name, "shop")


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        (["--host", "a", "status"], ["status"]),
        (["deploy", "--host=a", "--kind", "venv", "--keep", "1"], ["deploy", "--keep", "1"]),
        (["exec", "--host", "a", "--", "x", "--host", "b"], ["exec", "--", "x", "--host", "b"]),
    ],
)
def test_options_that_are_ours_stay_here(typed: Sequence[str], sent: list[str]) -> None:
    assert hosts.without(typed) == sent
