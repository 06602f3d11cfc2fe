"""
A machine that the earlier release tool has set up: left alone, until its operator follows the recipe; then one of several hosts.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import projects as rendering
from tests.support.load import Exchange, Load
from tests.support.machine import Machine
from tests.support.project import Project
from tests.support.questions import ROOT
from tests.support.releases import UserProject, git
from tests.support.variants import of
from tests.vm import database, hosts
from tests.vm.conftest import ANSWERS
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on
from tests.vm.leftovers import files, leftovers
from tests.vm.ssh import ssh

#: The last state of the template with the earlier tool.
EARLIER = "2e535d6"
TOOL = ("python3", "deploy/release")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, host: Host) -> Iterator[Host]:
    """
    A machine with a service of that state: set up, given a secret and deployed by the tool it had. Its operator has the same
    service as today's template renders it.
    """
    folder = tmp_path_factory.mktemp("earlier")
    with Machine("trixie") as machine:
        own = Host(machine, host.operator, hosts.DOMAIN)
        project = earlier(folder)
        machine.push(project.path, own.folder, without=(".git", ".venv", "dist"))

        def tool(*words: str, input: str | None = None) -> str:
            return machine.run(*TOOL, *words, folder=own.folder, input=input, timeout=180).stdout

        tool("setup", "--domain", own.domain, "--email", f"ops@{own.domain}")
        tool("secret", "set", "DATABASE_URL", input=database.create_database(machine, own.slug))
        project.run(*TOOL, "build", "--for", json.loads(tool("facts"))["target"], "--to", "dist")
        (artifact,) = (project / "dist").glob("*.tar.gz")
        machine.push(artifact, f"/root/{artifact.name}")
        tool("deploy", "--artifact", f"/root/{artifact.name}")
        own.wait_ready()
        yield own


def earlier(folder: Path) -> UserProject:
    """
    The default service as the earlier state renders it, committed.
    """
    state = folder / "state"
    packed = subprocess.run(["git", "archive", EARLIER], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(state, filter="data")
    rendering.render(state, folder / "project", ANSWERS)
    locked = Project(folder / "project", of(**ANSWERS))
    locked.run("uv", "lock", "--quiet")
    git(locked.path, "init", "-q")
    project = UserProject(locked.path, locked.variant)
    project.commit("start")
    return project


@on("trixie")
def test_a_machine_of_the_earlier_tool_is_refused(old: Host, folder: Path) -> None:
    """
    Set-up stops before it changes anything, says where the recipe is, and the service serves on.
    """
    run = old.run
    with ssh(folder, web2=old.machine) as way:
        before, contents = leftovers(old), checksums(old)
        words = ("make", "setup", "HOST=root@web2", f"DOMAIN={old.domain}")
        done = old.operator.project.run(*words, env=way.environment, check=False)
        assert done.returncode != 0
        assert "the tool of an earlier version is here" in done.stdout, done.stdout
        assert checksums(old) == contents
        assert leftovers(old) == before
    assert old.run == run
    assert old.ready_status() == 200


@on("trixie")
def test_the_recipe_brings_it_over(old: Host, folder: Path) -> None:
    """
    The commands of docs/updating.md as they are printed: environment, secrets, certificate, limits and data are kept. The
    outage, which the recipe names, is measured and printed.
    """
    etc = old.machine / f"etc/{old.slug}"
    (etc / "environment").write_text((etc / "environment").read_text() + "# mine\nLOG_LEVEL=warning\n")
    drop_in = old.machine / f"etc/systemd/system/{old.slug}@.service.d/own.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nLimitNOFILE=50000\n")
    kept = [path for path in files(old) if re.match(rf"/etc/{old.slug}/(environment|credentials/|tls/.*\.pem)", path)]
    assert len(kept) >= 4, kept
    before = {path: (old.machine / path).read_bytes() for path in kept}
    with ssh(folder, web2=old.machine) as way:
        with writes(old) as load:
            load.wait_for(100)
            follow(old, way.command, folder)
            load.wait_for(100)
        with writes(old) as after:
            after.wait_for(100)
    assert {path: (old.machine / path).read_bytes() for path in kept} == before
    assert old.run == 1
    assert old.machine.show(old.unit(1), "LimitNOFILE")["LimitNOFILE"] == "50000"
    stored = set(database.query(old.machine, old.slug, "select name from items"))
    assert {f"old-{number}" for number in load.tally.acknowledged} <= stored
    assert after.tally.lost == 0, after.tally.row("after the recipe")
    assert set(load.tally.kinds) <= {"502", "503"}, load.tally.row("recipe")
    print(f"outage of the recipe: {load.tally.silence:.1f} s, {load.tally.row('recipe', 'nginx')}")
    left = sorted(
        path for path in files(old) if old.slug in path and re.search(r"release\.pyz|host\.json|wants/.*@", path)
    )
    assert not left, left
    old.machine.reboot()
    old.wait_ready()
    assert old.run == 1


def follow(host: Host, command: str, folder: Path) -> None:
    """
    Type all blocks of the recipe into one shell, with the names of this operator in place of the printed ones.
    """
    recipe = (ROOT / "docs/updating.md").read_text().partition("\n## Machines set up by the earlier release tool\n")[2]
    blocks = re.findall(r"^```sh\n(.*?)^```$", recipe.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3, blocks
    text = "\n".join(blocks)
    for printed, own in (
        ("root@203.0.113.7", "root@web2"),
        ("api.your-company.com", host.domain),
        ("you@your-company.com", f"ops@{host.domain}"),
        ("my-service", host.slug),
    ):
        assert printed in text, printed
        text = text.replace(printed, own)
    program = folder / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    project = host.operator.project
    path = project.environ()["PATH"]
    project.run("bash", "-e", "-u", "-o", "pipefail", "-c", text, env={"PATH": f"{program.parent}:{path}"}, timeout=400)


def writes(host: Host) -> Load:
    """
    Clients that go on whatever happens.
    """
    way = NGINX.at(host)
    exchange = Exchange("/api/v1/items?limit=1", "/api/v1/items", '{"name": "old-{n}"}', host=host.domain)
    return Load(way.address, exchange, kept=2, fresh=2, pause=0.1, tls=way.tls, namespace=way.network, patience=60)


def checksums(host: Host) -> str:
    """
    Everything that a set-up could change.
    """
    places = ("/etc", f"/opt/{host.slug}", "/usr/local")
    return host.machine.run("sh", "-c", 'find "$@" -type f -exec sha256sum {} +', "sh", *places).stdout


@on("trixie")
def test_the_first_of_several_hosts_migrates(host: Host, old: Host, folder: Path) -> None:
    """
    One build for both, under one name. The first migrates, the second joins; when the second fails the command says which
    host runs what, and a rollback of both brings them together again.
    """
    if (old.machine / f"opt/{old.slug}/release.pyz").exists():
        pytest.fail("this needs the test before it: the machine has today's program then")
    project = host.operator.project
    (project / "static").mkdir(exist_ok=True)
    with ssh(folder, web1=host.machine, web2=old.machine) as way:

        def remote(*words: str, check: bool = True) -> str:
            done = project.run("deploy/remote", "root@web1 root@web2", *words, env=way.environment, check=check)
            assert check or done.returncode == 1, done.stdout
            return done.stdout

        first = commit(host, "several")
        said = remote("deploy", "--older")
        one, _, other = said.partition("== root@web2")
        assert said.count("build ") == 1, said
        assert "migrate for run" in one
        assert "migrate for run" not in other
        assert host.current == old.current
        assert host.current.endswith(first)
        name = host.current

        environment = old.machine / f"etc/{old.slug}/environment"
        text = environment.read_text()
        environment.write_text(f"{text}WEB_CONCURRENCY=nonsense\n")
        try:
            commit(host, "broken there")
            said = remote("deploy", check=False)
            newer = host.current
            assert newer > name
            assert old.current == name
            assert f"root@web1 runs {newer}\nroot@web2 runs {name}\n" in said, said
        finally:
            environment.write_text(text)
        # Not the same command for both: the second has nothing to go back from.
        project.run("deploy/remote", "root@web1", "rollback", name, env=way.environment)
        said = remote("status")
        assert said.count(f"* {name}") == 2, said


def commit(host: Host, what: str) -> str:
    """
    A commit more; the beginning of its hash.
    """
    project = host.operator.project
    (project / "static/robots.txt").write_text(f"{what}\n")
    project.commit(what)
    return git(project.path, "rev-parse", "--short=7", "HEAD").strip()
