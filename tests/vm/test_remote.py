"""
From elsewhere: the operator's own computer, over a real ssh, and the machine itself.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.projects import Projects
from tests.support.variants import of
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on
from tests.vm.leftovers import leftovers
from tests.vm.operator import Operator
from tests.vm.ssh import ASKED, DEPLOYER, ssh

#: A name that begins with that of the first service, and a place of its own.
SECOND, SECOND_DOMAIN = "my-service-two", "two.test"
#: Words that a shell would take apart, twice on their way over ssh.
WORDS = [
    "a b",
    "  ",
    "it's",
    "''",
    '"q"',
    "$HOME",
    "`id`",
    "$(id)",
    "two\nlines\n",
    "\\",
    "a\\nb",
    "*",
    "~",
    "-x",
    "",
    "ä;&|<>#!",
]
ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


@on("trixie")
def test_a_second_service_from_elsewhere(host: Host, projects: Projects, folder: Path) -> None:
    """
    Another service on the same machine, whose name begins like the first one's: set up, deployed, restarted and rolled back over
    ssh by `make`, given a secret, and removed as the runbook says. The first one never notices, and nothing is left.
    """
    before = leftovers(host)
    project = projects.render(of(project_slug=SECOND, domain=SECOND_DOMAIN, database="none", edge_rate="100000"))
    second = Host(host.machine, Operator.of(project.sync(), folder / "second"), SECOND_DOMAIN)
    run, release = host.run, host.current
    with ssh(folder, machine=host.machine) as way, NGINX.load(host, kept=0, fresh=4) as load:

        def make(*words: str, user: str = DEPLOYER, input: str | None = None) -> str:
            words = ("make", words[0], f"HOST={user}@machine", *words[1:])
            return second.operator.project.run(*words, env=way.environment, input=input).stdout

        make("setup", f"DOMAIN={SECOND_DOMAIN}", user="root")
        make("secret", "NAME=API_TOKEN", input='it\'s a "secret"\n')
        # Whoever deploys need not be root.
        assert "run 1 serves " in make("deploy")
        first = second.current
        (second.operator.project / "static").mkdir(exist_ok=True)
        (second.operator.project / "static/robots.txt").write_text("second\n")
        second.operator.project.commit("second")
        make("deploy")
        assert second.current > first
        make("restart")
        assert second.run == 3
        make("rollback")
        assert second.current == first
        assert f"* {first}" in make("status")
        assert (host.machine / f"etc/{SECOND}/credentials/API_TOKEN").read_text() == 'it\'s a "secret"'
        assert second.ready_status() == host.ready_status() == 200

        # Each of them counts, stops and clears up its own runs only.
        host.release("restart")
        assert second.run == 4
        assert host.current == release
        assert host.run == run + 1
        remove(second)
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("beside another")
    left = {path for path in leftovers(host) ^ before if SECOND in " ".join(path)}
    assert not left, left


def remove(host: Host) -> None:
    """
    Type the lines of the runbook that remove a service.
    """
    section = host.operator.project.read("docs/runbook.md").partition("\n## Off the machine\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^    (.+)$", section, re.MULTILINE)
    assert lines[-1] == f"userdel {host.slug}", lines
    host.machine.run("sh", "-eux", "-c", "\n".join(lines))


@on("trixie")
def test_words_arrive_as_they_were_typed(host: Host, folder: Path) -> None:
    """
    Blanks, quotes, newlines and what a shell would expand: over ssh, as root and by sudo, and on the machine itself; so do
    standard input and the exit code.
    """
    run = host.operator.project.run
    words = ["exec", "--", "python", "-c", ECHO, *WORDS]
    with ssh(folder, machine=host.machine) as way:
        for user in ("root", DEPLOYER):
            said = run("deploy/remote", f"{user}@machine", *words, env=way.environment).stdout
            assert said.splitlines()[-1] == json.dumps(WORDS), user  # sudo may complain about the name of the machine
        code = "import sys; sys.exit(int(sys.stdin.read()))"
        command = ("exec", "--", "python", "-c", code)
        done = run("deploy/remote", "root@machine", *command, env=way.environment, input="7\n", check=False)
        assert done.returncode == 7, done.stdout
    assert here(host, *words) == json.dumps(WORDS) + "\n"


def here(host: Host, *words: str) -> str:
    """
    The output of deploy/remote on the machine itself.
    """
    host.machine.push(host.operator.project / "deploy", f"{host.folder}/deploy")
    return host.machine.run("sh", "deploy/remote", "here", *words, folder=host.folder).stdout


@on("trixie")
def test_the_machine_itself_needs_no_ssh(host: Host, folder: Path) -> None:
    """
    `deploy/remote here`: a file that was built elsewhere is deployed, by root and by somebody who may become root.
    """
    release = host.operator.edited({"static/robots.txt": "here\n"})
    target = host.operator.first.file.name.partition("-py")[2]
    file = f"{host.folder}/dist/{host.slug}-{release.name}-py{target}"
    host.machine.push(release.file, file)
    try:
        assert f" serves {release.name}" in here(host, "deploy", file)
        assert host.current == release.name
        here(host, "setup", host.domain)
        with ssh(folder, machine=host.machine):
            host.machine.run("cp", "-a", host.folder, f"/home/{DEPLOYER}/project")
            words = ("sh", "deploy/remote", "here", "restart")
            said = host.machine.run(*words, folder=f"/home/{DEPLOYER}/project", user=DEPLOYER, timeout=180).stdout
            assert f" serves {release.name}" in said
    finally:
        host.machine.run("rm", "-rf", f"{host.folder}/dist")


@on("trixie")
def test_sudo_that_asks_for_a_password_ends_the_command(host: Host, folder: Path) -> None:
    """
    Nobody is there to type it: sudo's own words are shown at once, and nothing was built or sent.
    """
    run, before = host.run, leftovers(host)
    with ssh(folder, machine=host.machine) as way:
        for words in (("restart",), ("deploy",), ("setup", host.domain)):
            done = host.operator.project.run(
                "deploy/remote", f"{ASKED}@machine", *words, env=way.environment, check=False
            )
            assert done.returncode == 1, words
            assert "a password is required" in done.stdout, done.stdout
            assert "build " not in done.stdout
        done = host.operator.project.run(
            "deploy/remote", "root@machine nobody@machine", "restart", env=way.environment, check=False
        )
        assert done.returncode == 1
        assert "nobody@machine cannot be reached, or sudo or python3 fails there" in done.stdout
    assert leftovers(host) == before
    assert host.run == run
