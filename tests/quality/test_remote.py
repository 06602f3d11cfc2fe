"""
Commands for other hosts, over an ssh that runs them here: each host is a folder with its own root's programs.
"""

from __future__ import annotations

import json
import os
import platform
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.projects import Projects
from tests.support.variants import of
from tests.support.workflows import steps

NAME = "20260101T000001Z-abcdef0"

#: What ssh does: after its options a host, then a command for the shell there, which has other programs.
SSH = """\
#!/bin/sh
options=
while [ "$1" != -- ]; do options="$options $1"; shift; done
export PLACE="$HOSTS/$2"
[ -d "$PLACE" ] || { echo "ssh: no route to $2" >&2; exit 255; }
printf '%s\\n' "$options" >>"$PLACE/options"
export PATH="$PLACE/own:$PLACE/bin:$PATH" TMPDIR="$PLACE/tmp"
code=0
sh -c "$(printf '%s\\n' "$3" | sed "s|/opt/shop/release|$PLACE/release|g; s|PATH=/usr/local/bin|PATH=$PLACE/bin|g")" || code=$?
# It has read ahead what nobody there has asked for.
[ -t 0 ] || cat >/dev/null
exit "$code"
"""

#: The program on a host: it writes down what it was given, and fails where it is to fail.
PROGRAM = """\
#!{python}
import json, os, pathlib, sys
place = pathlib.Path(os.environ["PLACE"])
words = sys.argv[1:]
if words == ["status"]:
    serving = place / "serving"
    print("  20250101T000000Z-0000000")
    print(f"* {{serving.read_text()}}  run 2" if serving.exists() else "")
    sys.exit(int((place / "silent").exists()))
given = sys.stdin.read() if words[0] in ("deploy", "exec", "secret") else ""
with (place / "seen").open("a") as file:
    print(json.dumps([*words, given]), file=file)
if (place / "broken").exists():
    sys.exit("it does not start")
if words[0] == "deploy":
    (place / "serving").write_text(words[1])
"""

#: A build in a moment: it fails where it is to fail, writes down for whom it was, and has another name each time.
BUILD = """\
#!/bin/sh
set -eu
cd "$(dirname "$0")/.."
echo "$1 $2" >>../built
[ ! -e ../unbuildable ] || { echo "no wheel" >&2; exit 1; }
mkdir -p dist
file=$PWD/dist/shop-${RELEASE_NAME:-20260101T00000$(wc -l <../built | tr -d ' ')Z-abcdef0}-py$1-$2.tar.gz
echo "release for $1 $2" >"$file"
echo "$file"
"""

#: The set-up of a host: what it was given, where it is, and what came with it.
SETUP = """\
#!/bin/sh
cd "$(dirname "$0")"
[ ! -e "$PLACE/broken" ] || exit 3
printf '%s\\n' "$@" "$PWD" * >"$PLACE/seen"
ls -n setup | awk '{ print $3 }' >"$PLACE/owner"
"""

#: Words that a shell would read in another way.
WORDS = (
    *(
        "plain",
        "",
        " ",
        "a  b",
        "it's",
        "''",
        '"',
        '\\"',
        "\\",
        "\\'",
        "$HOME",
        "$(id)",
        "`id`",
        "*",
        "?",
        "~",
        "#",
        "!x",
    ),
    *("a\nb", "\n", "a\n\n", "\ta", "-n", "--", "-", ";", "&", "|", ">x", "ä€", "%s", "a=b", "{a,b}", "'$x' \"y\"\n'"),
)


@dataclass
class Away:
    """
    A project, and hosts that can be reached from it.
    """

    path: Path
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def add(self, *names: str, target: str = "3.13 x86_64", user: str = "root") -> None:
        """
        Add hosts, for root to log in, or for a user with sudo.
        """
        for name in names:
            place = self.folder / "hosts" / name
            (place / "bin").mkdir(parents=True)
            (place / "own").mkdir()
            (place / "tmp").mkdir()
            python, machine = target.split()
            programs = {
                "release": PROGRAM.format(python=sys.executable),
                # Of the user who logs in; a service is not run by it.
                "own/python3": "#!/bin/sh\necho 2.7-vax\n",
                "bin/python3": f"#!/bin/sh\necho {python}-{machine}\n",
                "bin/id": f"#!/bin/sh\necho {0 if user == 'root' else 1000}\n",
                "bin/sudo": "#!/bin/sh\n"
                + {
                    "root": "echo 'root needs no sudo' >&2; exit 9\n",
                    "sudoer": '[ "$1" = -n ] || exit 9\nshift\nexec "$@"\n',
                    "nobody": "echo 'sudo: a password is required' >&2; exit 1\n",
                }[user],
            }
            for file, text in programs.items():
                (place / file).write_text(text)
                (place / file).chmod(0o755)

    def place(self, name: str) -> Path:
        return self.folder / "hosts" / name

    def run(
        self, hosts: str, *words: str, input: str = "", environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run deploy/remote, from elsewhere.
        """
        return subprocess.run(
            [str(self.path / "deploy/remote"), hosts, *words],
            cwd=self.folder,
            env=self.environ | dict(environ or {}),
            input=input,
            capture_output=True,
            text=True,
        )

    def seen(self, name: str) -> list[list[str]]:
        """
        The words that the program on a host was given, call by call; the last one came by standard input.
        """
        seen = self.place(name) / "seen"
        return [json.loads(line) for line in seen.read_text().splitlines()] if seen.exists() else []

    def built(self) -> list[str]:
        built = self.path.parent / "built"
        return built.read_text().splitlines() if built.exists() else []


@pytest.fixture
def away(projects: Projects, tmp_path: Path) -> Away:
    rendered = projects.render(of(targets=["vm"], project_slug="shop"))
    path = tmp_path / "with blanks" / "shop-project"
    (path / "deploy" / "systemd").mkdir(parents=True)
    shutil.copy(rendered / "deploy/remote", path / "deploy")
    (path / "deploy" / "systemd" / "service.socket").touch()
    ssh = tmp_path / "own-ssh"
    for file, text in ((path / "deploy/build", BUILD), (path / "deploy/setup", SETUP), (ssh, SSH)):
        file.write_text(text)
        file.chmod(0o755)
    away = Away(path, tmp_path)
    away.environ = {"PATH": "/usr/bin:/bin", "HOSTS": str(tmp_path / "hosts"), "RELEASE_SSH": f"{ssh} -F config"}
    return away


@pytest.mark.parametrize("user", ["root", "sudoer"])
def test_words_arrive_as_they_were_typed(away: Away, user: str) -> None:
    """
    Blanks, quotes, dollars, newlines and hyphens, through two shells and sudo; `exec` reads what is piped in.
    """
    away.add("web", user=user)
    done = away.run("web", "exec", *WORDS, input="piped in")
    assert not done.returncode, done.stderr
    assert away.seen("web") == [["exec", *WORDS, "piped in"]]
    assert (away.place("web") / "options").read_text() == " -F config\n"


def test_what_is_piped_in_is_for_the_command(away: Away) -> None:
    """
    And not for the question whether all hosts answer, which comes before.
    """
    away.add("one", "two")
    assert not away.run("one two", "exec", "cat", input="piped in").returncode
    assert away.seen("one") == [["exec", "cat", "piped in"]]


@pytest.mark.parametrize("hosts", ["", " ", "-oProxyCommand=id", "web -oProxyCommand=id"])
def test_what_is_no_host_never_reaches_ssh(away: Away, hosts: str) -> None:
    """
    It says how it is used, and does nothing.
    """
    away.add("web")
    for words in (("status",), ("restart",)):
        done = away.run(hosts, *words)
        assert done.returncode == 2
        assert "deploy/remote" in done.stderr
    assert not (away.place("web") / "options").exists()
    assert away.run("web").returncode == 2


def test_the_exit_code_is_kept(away: Away) -> None:
    """
    That of the program, and that of ssh.
    """
    away.add("web")
    (away.place("web") / "broken").touch()
    done = away.run("web", "restart")
    assert (done.returncode, "it does not start" in done.stderr) == (1, True)
    assert away.run("nowhere", "restart").returncode == 255


def test_without_sudo_it_says_so(away: Away) -> None:
    """
    In the words of sudo, which is not allowed to ask; of several hosts none is touched then.
    """
    away.add("one")
    away.add("two", user="nobody")
    done = away.run("two", "restart")
    assert (done.returncode, done.stderr) == (1, "sudo: a password is required\ntwo runs nothing, or does not say\n")
    done = away.run("one two", "restart")
    assert done.returncode == 1
    assert "sudo: a password is required\ntwo cannot be reached, or sudo or python3 fails there" in done.stderr
    assert away.seen("one") == []


@pytest.mark.parametrize("command", [("deploy",), ("restart",), ("setup",), ("secret", "API_TOKEN")], ids=" ".join)
def test_nothing_is_done_to_the_first_when_the_last_is_out_of_reach(away: Away, command: Sequence[str]) -> None:
    """
    All have answered before.
    """
    away.add("one")
    done = away.run("one nowhere", *command, input="hidden")
    assert done.returncode == 1
    assert "nowhere cannot be reached" in done.stderr
    assert not (away.place("one") / "seen").exists()


def test_a_deploy_is_built_for_the_host(away: Away) -> None:
    """
    For its Python and its machine, and sent under the name that the build gave it; options go along.
    """
    away.add("web", target="3.12 aarch64", user="sudoer")
    done = away.run("web", "deploy", "--allow-drops", "--older")
    assert not done.returncode, done.stderr
    assert away.built() == ["3.12 aarch64"]
    assert away.seen("web") == [["deploy", NAME, "--allow-drops", "--older", "release for 3.12 aarch64\n"]]


def test_the_target_is_what_the_python_there_says(away: Away) -> None:
    """
    The question as it is, to a real interpreter.
    """
    away.add("web")
    (away.place("web") / "bin" / "python3").unlink()
    (away.place("web") / "bin" / "python3").symlink_to(getattr(sys, "_base_executable", sys.executable))
    done = away.run("web", "deploy")
    assert not done.returncode, done.stderr
    assert away.built() == [f"{sys.version_info[0]}.{sys.version_info[1]} {platform.machine()}"]


def test_hosts_of_one_kind_get_one_build_and_those_of_another_get_theirs_under_the_same_name(away: Away) -> None:
    """
    The first migrates, the others need not. All is built before the first is touched.
    """
    away.add("one", "three")
    away.add("two", target="3.12 aarch64")
    done = away.run("one two  three ", "deploy", "--allow-drops")
    assert not done.returncode, done.stderr
    assert away.built() == ["3.13 x86_64", "3.12 aarch64"]
    later = ["--allow-drops", "--skip-migrations"]
    assert away.seen("one") == [["deploy", NAME, "--allow-drops", "release for 3.13 x86_64\n"]]
    assert away.seen("two") == [["deploy", NAME, *later, "release for 3.12 aarch64\n"]]
    assert away.seen("three") == [["deploy", NAME, *later, "release for 3.13 x86_64\n"]]
    assert done.stdout.splitlines() == ["== one", "== two", "== three"]


def test_what_cannot_be_built_touches_no_host(away: Away) -> None:
    """
    The reason is that of the build.
    """
    away.add("one", "two")
    (away.path.parent / "unbuildable").touch()
    done = away.run("one two", "deploy")
    assert (done.returncode, done.stderr) == (1, "no wheel\n")
    assert away.seen("one") == []


def test_a_deploy_that_ends_half_way_says_which_host_runs_what(away: Away) -> None:
    """
    The one that fails keeps what it has, those after it are not touched.
    """
    away.add("one", "two", "three", "four")
    for name in ("one", "two", "three"):
        (away.place(name) / "serving").write_text("20250601T000000Z-1111111")
    (away.place("two") / "broken").touch()
    done = away.run("one two three four", "deploy")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "it does not start",
        f"one runs {NAME}",
        "two runs 20250601T000000Z-1111111",
        "three runs 20250601T000000Z-1111111",
        "four runs nothing, or does not say",
    ]
    assert away.seen("three") == []


def test_status_looks_at_all_hosts(away: Away) -> None:
    """
    One that does not serve keeps none of the others from answering; the exit code tells.
    """
    away.add("one", "two", "three")
    (away.place("one") / "serving").write_text(NAME)
    (away.place("two") / "silent").touch()
    done = away.run("one two three", "status")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith(("==", "*"))] == [
        "== one",
        f"* {NAME}  run 2",
        "== two",
        "== three",
    ]


def test_a_file_is_deployed_as_it_is(away: Away) -> None:
    """
    A release that CI has built is deployed from the folder in which one is; a host of another kind gets its own file of the same release.
    """
    away.add("one")
    away.add("two", target="3.12 aarch64")
    (away.folder / "from ci").mkdir()
    stem = f"from ci/shop-{NAME}"
    (away.folder / f"{stem}-py3.13-x86_64.tar.gz").write_text("first")
    file = f"{stem}-py3.13-x86_64.tar.gz"
    done = away.run("one two", "deploy", file, "--older")
    assert done.returncode == 1
    assert f"two needs {stem}-py3.12-aarch64.tar.gz, which is not here" in done.stderr
    assert away.seen("one") == []
    (away.folder / f"{stem}-py3.12-aarch64.tar.gz").write_text("second")
    done = away.run("one two", "deploy", file, "--older")
    assert not done.returncode, done.stderr
    assert away.seen("one") == [["deploy", NAME, "--older", "first"]]
    assert away.seen("two") == [["deploy", NAME, "--older", "--skip-migrations", "second"]]
    assert away.built() == []


def test_a_file_that_is_not_there_is_refused(away: Away) -> None:
    """
    Instead of building something else.
    """
    away.add("web")
    done = away.run("web", "deploy", f"dist/shop-{NAME}-py3.13-x86_64.tar.gz")
    assert done.returncode == 1
    assert "which is not here" in done.stderr
    assert not away.seen("web")
    assert not away.built()


def test_a_file_of_this_folder_is_deployed_under_the_name_of_its_release(away: Away) -> None:
    """
    Also where there is no slash before it.
    """
    away.add("web")
    file = f"shop-{NAME}-py3.13-x86_64.tar.gz"
    (away.folder / file).write_text("built before")
    done = away.run("web", "deploy", file)
    assert not done.returncode, done.stderr
    assert away.seen("web") == [["deploy", NAME, "built before"]]


@pytest.mark.parametrize(
    "file",
    [
        "release.tar.gz",
        f"dist/blog-{NAME}-py3.13-x86_64.tar.gz",
        f"dist/shop-{NAME}.tar.gz",
        f"shop-{NAME}-py3.13-x86_64.tar.gz.1",
        f"a-shop-{NAME}-py3.13-x86_64.tar.gz",
        NAME,
        "dist/",
    ],
)
def test_a_file_of_another_name_is_refused(away: Away, file: str) -> None:
    """
    It names the release and the hosts that it is for. Nobody is asked before.
    """
    away.add("web")
    if not file.endswith("/"):
        (away.folder / file).parent.mkdir(exist_ok=True)
        (away.folder / file).write_text("built before")
    done = away.run("web", "deploy", file)
    assert done.returncode == 1
    assert f"'{file}' is not what deploy/build calls a file: shop-2026" in done.stderr
    assert not (away.place("web") / "options").exists()


def test_a_secret_is_read_once_for_all_hosts(away: Away) -> None:
    """
    To the last byte, and it is in no command line.
    """
    away.add("one", "two", user="sudoer")
    value = "two lines\nand a $word '\n\n"
    done = away.run("one two", "secret", "API_TOKEN", input=value)
    assert not done.returncode, done.stderr
    assert away.seen("one") == away.seen("two") == [["secret", "API_TOKEN", value]]


@pytest.mark.parametrize(("words", "options"), [(("secret", "A"), " -F config -t"), (("exec", "sh"), " -F config -t")])
def test_a_terminal_is_passed_on(away: Away, words: Sequence[str], options: str) -> None:
    """
    For a secret that is typed, unseen, and for commands that talk; for nothing else.
    """
    away.add("web")
    ours, theirs = pty.openpty()
    try:
        for command in (words, ("restart",)):
            process = subprocess.Popen(
                [away.path / "deploy/remote", "web", *command],
                env=away.environ,
                stdin=theirs,
                stdout=theirs,
                stderr=subprocess.DEVNULL,
            )
            os.write(ours, b"typed\n\x04")
            assert process.wait(60) == 0
    finally:
        os.close(ours)
        os.close(theirs)
    assert (away.place("web") / "options").read_text().splitlines() == [options, " -F config"]


@pytest.mark.parametrize("user", ["root", "sudoer"])
def test_setup_brings_its_files_along(away: Away, user: str) -> None:
    """
    They are unpacked in a folder for root alone, of which nothing is left; the words arrive.
    """
    away.add("web", user=user)
    if os.geteuid() == 0:
        # Root there would keep the number, which is somebody else's.
        os.chown(away.path / "deploy/setup", 65534, 65534)
    done = away.run("web", "setup", "api.your-company.com", "it's me@your-company.com")
    assert not done.returncode, done.stderr
    domain, email, place, *files = (away.place("web") / "seen").read_text().splitlines()
    assert (domain, email) == ("api.your-company.com", "it's me@your-company.com")
    assert files == ["build", "remote", "setup", "systemd"]
    assert (away.place("web") / "owner").read_text() == f"{os.geteuid()}\n"
    assert Path(place).is_relative_to(away.place("web") / "tmp")
    assert not list((away.place("web") / "tmp").iterdir())


def test_a_set_up_that_fails_leaves_nothing_either(away: Away) -> None:
    """
    And its exit code is kept.
    """
    away.add("web")
    (away.place("web") / "broken").touch()
    assert away.run("web", "setup").returncode == 3
    assert not list((away.place("web") / "tmp").iterdir())


def test_here_needs_no_ssh(away: Away) -> None:
    """
    The same commands, on this machine.
    """
    away.add("this", user="sudoer")
    place = away.place("this")
    environ = {
        "PATH": f"{place}/bin:/usr/bin:/bin",
        "PLACE": str(place),
        "TMPDIR": str(place / "tmp"),
        "RELEASE_SSH": "false",
    }
    done = away.run("here", "setup", "a b", environ=environ)
    assert not done.returncode, done.stderr
    assert (place / "seen").read_text().splitlines()[0] == "a b"
    assert away.run("here", "status", environ=environ).returncode == 127


def test_a_host_that_has_gone_is_noticed(away: Away) -> None:
    """
    The ssh that is used unless the user names another gives up, and keeps a quiet connection alive.
    """
    away.add("web")
    programs = away.folder / "programs"
    programs.mkdir()
    shutil.copy(away.folder / "own-ssh", programs / "ssh")
    del away.environ["RELEASE_SSH"]
    assert away.run("web", "restart", environ={"PATH": f"{programs}:/usr/bin:/bin"}).returncode == 0
    options = (away.place("web") / "options").read_text()
    assert options == " -o ConnectTimeout=15 -o ServerAliveInterval=15\n"


def test_make_says_the_same(projects: Projects, away: Away) -> None:
    """
    Each target is a command; HOST and EMAIL that the shell exports have another meaning.
    """
    project = projects.render(of(targets=["vm"], project_slug="shop"))
    (away.path / "scripts").mkdir()
    for name in ("Makefile", "scripts/deploy.mk"):
        shutil.copy(project / name, away.path / name)
    (away.path / "deploy/remote").write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')

    def make(*words: str) -> str:
        environ = {"PATH": "/usr/bin:/bin", "HOST": "laptop", "EMAIL": "me@laptop"}
        return subprocess.check_output(["make", "--silent", *words], cwd=away.path, env=environ, text=True)

    assert make("setup", "HOST=web", "DOMAIN=api.com", "EMAIL=a@b.com") == "<web><setup><api.com><a@b.com>"
    assert make("setup", "HOST=web", "DOMAIN=api.com") == "<web><setup><api.com><>"
    assert make("secret", "NAME=TOKEN", "HOST=one two") == "<one two><secret><TOKEN>"
    assert make("deploy") == "<here><deploy>"
    assert make("deploy", "HOST=web", "ARGS='a b' --older") == "<web><deploy><a b><--older>"
    assert make("rollback", "HOST=web", "ARGS=2026") == "<web><rollback><2026>"
    assert (make("restart"), make("status", "HOST=web")) == ("<here><restart>", "<web><status>")


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_ci_deploys_what_it_has_built(projects: Projects, away: Away, ci: str) -> None:
    """
    The steps of the job, with the variables of the repository: to all hosts, with its key and with theirs.
    """
    away.add("one", "two")
    home = away.folder / "home"
    (home / ".ssh").mkdir(parents=True)
    (away.path / "dist").mkdir()
    (away.path / f"dist/shop-{NAME}-py3.13-x86_64.tar.gz").write_text("built before")
    given = {"DEPLOY_HOSTS": "one two", "DEPLOY_KEY": "the key", "DEPLOY_KNOWN_HOSTS": "theirs"}
    if ci == "gitlab":
        # Variables of the type file.
        for name in ("DEPLOY_KEY", "DEPLOY_KNOWN_HOSTS"):
            (home / name).write_text(f"{given[name]}\n")
            given[name] = str(home / name)
    programs = away.folder / "programs"
    programs.mkdir()
    shutil.copy(away.folder / "own-ssh", programs / "ssh")
    environ = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(home), "HOSTS": away.environ["HOSTS"]}
    project = projects.render(of(targets=["vm"], project_slug="shop", ci=ci))
    for script, variables in steps(project, "deploy", given):
        subprocess.run(["sh", "-ec", script], cwd=away.path, env=environ | variables, check=True)
    assert away.seen("one") == [["deploy", NAME, "built before"]]
    assert away.seen("two") == [["deploy", NAME, "--skip-migrations", "built before"]]
    assert not away.built()
    key, known = {
        "github": (home / ".ssh/id_ed25519", home / ".ssh/known_hosts"),
        "gitlab": (home / "DEPLOY_KEY", home / "DEPLOY_KNOWN_HOSTS"),
    }[ci]
    assert (key.read_text(), known.read_text(), key.stat().st_mode & 0o777) == ("the key\n", "theirs\n", 0o600)
    options = (away.place("one") / "options").read_text().splitlines()[0]
    own = f" -i {key} -o UserKnownHostsFile={known}"
    assert options == {"github": " -o ConnectTimeout=15 -o ServerAliveInterval=15", "gitlab": own}[ci]
