"""
Properties that a request does not show: static files, the pointer, boots, maintenance, and in which order the disk hears of a release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from tests.vm import broken
from tests.vm.edges import Edge
from tests.vm.host import Host
from tests.vm.hosts import on
from tests.vm.operator import Link
from tests.vm.test_killed import STEPS, assert_tidy

#: Where somebody wants the service to listen as well.
OWN = Edge("own", 8100, encrypted=False)


@dataclass
class Published:
    """
    Two releases with static files, one after the other, and what was there between them.
    """

    host: Host
    while_it_starts: Mapping[str, str]
    runs_then: list[int]
    sent: str


@pytest.fixture(scope="module")
def published(host: Host) -> Published:
    host.deploy_edited({"static/page.css": "old", "static/old.css": "old", "static/guide": "a file"})
    new = host.operator.edited(
        {
            "static/page.css": "new",
            "static/new.css": "new",
            "static/guide/start.html": "in a folder",
            "static/inside.css": Link("new.css"),
            "static/code.txt": Link("../alembic.ini"),
        }
    )
    with (folder(host) / "page.css").open() as being_sent:
        job = host.start_deploy(new)
        job.wait_for(STEPS["start"])
        then = {path.name: path.read_text() for path in folder(host).iterdir() if path.is_file()}
        runs = host.runs
        assert job.end() == 0, job.said
        return Published(host, then, runs, being_sent.read())


@on("trixie")
def test_static_files_are_there_before_the_new_run_serves(published: Published) -> None:
    """
    The first page of the new run finds its files, and a page that was loaded before still finds its own.
    """
    assert published.while_it_starts["new.css"] == "new"
    assert published.runs_then[0] < published.host.run, "the old run was over already"
    assert static(published.host, "old.css") == "old"
    assert static(published.host, "page.css") == "new"
    assert_tidy(published.host)


@on("trixie")
def test_a_static_file_is_replaced_as_a_whole(published: Published) -> None:
    """
    A client that is being sent the old one gets the old one to its end.
    """
    assert published.sent == "old"


@on("trixie")
def test_a_link_that_leads_out_of_the_static_files_is_not_published(published: Published) -> None:
    """
    Code and its settings are no page. A link between static files is one.
    """
    assert static(published.host, "inside.css") == "new"
    assert not (folder(published.host) / "inside.css").is_symlink()
    assert not (folder(published.host) / "code.txt").exists()


@on("trixie")
def test_static_files_of_a_refused_release_are_taken_back(published: Published) -> None:
    """
    They are there before the run is started, which then is not: under a name that both have is what the old run has.
    """
    host = published.host
    edits = broken.releases(host.operator.project)["configuration"]
    release = host.operator.edited({**edits, "static/page.css": "refused", "static/more.css": "refused"})
    assert host.deploy(release, check=False).returncode == 1
    assert static(host, "page.css") == "new"
    assert not (folder(host) / "more.css").exists()


@on("trixie")
def test_a_static_file_may_become_a_folder(published: Published) -> None:
    """
    And the other way round: the name is what the release that serves says.
    """
    host = published.host
    assert static(host, "guide/start.html") == "in a folder"
    host.release("rollback")
    assert static(host, "guide") == "a file"


def static(host: Host, name: str) -> str:
    return (folder(host) / name).read_text()


def folder(host: Host) -> Path:
    return host.machine / f"opt/{host.slug}/static"


@on("trixie")
def test_what_an_operator_adds_to_the_socket_is_kept(host: Host) -> None:
    """
    Another address in the drop-in that says which run is current: a new run listens there as well.
    """
    pointer = host.machine / host.pointer
    text = pointer.read_text()
    assert text.count("[Socket]\n") == 1
    pointer.write_text(text.replace("[Socket]\n", f"# For the office.\n[Socket]\nListenStream=127.0.0.1:{OWN.port}\n"))
    try:
        again(host)
        assert host.ready_status(OWN) == 200
        host.release("restart")
        assert host.ready_status(OWN) == 200
        assert pointer.read_text().count(f"ListenStream=127.0.0.1:{OWN.port}\n") == 1
        assert pointer.read_text().count("# For the office.\n") == 1
        assert pointer.read_text().count(f"Service={host.unit(host.run)}\n") == 1
        assert pointer.read_text().count("Wants=") == 1
    finally:
        pointer.write_text("".join(f"{line}\n" for line in pointer.read_text().splitlines() if own(line)))
        again(host)


def own(line: str) -> bool:
    return not line.startswith(("#", "ListenStream="))


def again(host: Host) -> None:
    """
    Stop everything and start it, as an operator does who has changed the socket.
    """
    run = host.run
    host.machine.run("systemctl", "daemon-reload")
    host.machine.run("systemctl", "stop", f"{host.slug}.target", f"{host.slug}.socket")
    host.machine.run("systemctl", "start", f"{host.slug}.target")
    host.machine.wait_active(host.unit(run))
    host.wait_ready()


@on("trixie")
def test_a_socket_that_was_closed_is_opened_by_the_next_run(host: Host) -> None:
    """
    Somebody has stopped it, and not the run: the run that comes next is one that people reach.
    """
    host.machine.run("systemctl", "stop", f"{host.slug}.socket")
    host.release("restart")
    assert host.ready_status() == 200


@on("trixie")
def test_a_refused_command_opens_a_socket_that_was_closed(host: Host) -> None:
    """
    It has nothing to replace the run with, so the same run is back before anything is refused.
    """
    run = host.run
    host.machine.run("systemctl", "stop", f"{host.slug}.socket")
    assert host.release("rollback", "nonsense", check=False).returncode == 1
    host.machine.wait_active(host.unit(run))
    assert host.run == run
    assert host.ready_status() == 200


@on("trixie")
def test_a_run_that_cannot_be_stopped_keeps_what_it_needs(host: Host) -> None:
    """
    It goes on with its code, its environment and its secrets until the next command, which stops it.
    """
    old = host.run
    fake = host.machine / "root/fake/systemctl"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ncase $* in 'stop {host.unit(old)}'*) exit 1 ;; esac\nexec /usr/bin/systemctl \"$@\"\n")
    fake.chmod(0o755)
    try:
        done = host.machine.run(
            "env", "PATH=/root/fake:/usr/bin:/bin", host.program, "restart", check=False, timeout=180
        )
        assert done.returncode == 1, done.stdout
        assert old in host.runs
        assert (host.machine / f"opt/{host.slug}/runs/{old}/environment").exists()
    finally:
        fake.unlink()
        fake.parent.rmdir()
    host.release("restart")
    assert host.run > old


@on("trixie")
def test_the_target_is_the_service(host: Host) -> None:
    """
    Stopping it stops the run and its socket; nobody's request starts them. Starting it starts the run that served.
    """
    run = host.run
    host.machine.run("systemctl", "stop", f"{host.slug}.target")
    # It drains.
    wait_until(lambda: not host.runs, seconds=60, what="the end of the run")
    assert host.ask("/api/v1/items?limit=1").status == 502
    assert not host.runs
    host.machine.run("systemctl", "start", f"{host.slug}.target")
    host.machine.wait_active(host.unit(run))
    assert host.run == run


@on("trixie")
def test_a_boot_starts_the_run_that_served(host: Host) -> None:
    """
    By itself: nobody has to ask first. It may be the run of a rollback.
    """
    host.release("rollback")
    run = host.run
    host.machine.reboot()
    host.machine.wait_active(host.unit(run))
    assert host.runs == [run]
    host.wait_ready()


@on("trixie")
def test_a_service_that_is_disabled_stays_quiet(host: Host) -> None:
    """
    `systemctl disable` of the target is enough: neither its socket nor its run is there after a boot.
    """
    run = host.run
    host.machine.run("systemctl", "disable", f"{host.slug}.target")
    try:
        host.machine.reboot()
        assert not host.runs
        assert not host.machine.is_active(f"{host.slug}.socket")
        assert host.ask("/api/v1/items?limit=1").status == 502
    finally:
        host.machine.run("systemctl", "enable", "--now", f"{host.slug}.target")
    host.machine.wait_active(host.unit(run))
    assert host.run == run


@on("trixie")
def test_maintenance(host: Host) -> None:
    """
    A file is all it takes: the edge answers for the service, with a problem, and alive is still what is alive.
    """
    closed = host.machine / f"etc/{host.slug}/maintenance"
    closed.touch()
    try:
        answer = host.ask("/api/v1/items?limit=1")
        assert answer.status == 503
        assert answer.is_problem
        assert int(answer.headers["retry-after"]) > 0
        assert host.ask("/health").status == 200
    finally:
        closed.unlink()
    assert host.ask("/api/v1/items?limit=1").status == 200


#: Runs the program, which says on the way what it has the disk do, and in which order.
_WATCHED = """
import os, runpy, subprocess, sys

def say(*words):
    print("disk:", *words, flush=True)

def watched(name, describe):
    real = getattr(os, name)
    def call(*given, **named):
        say(name, *describe(*given))
        return real(*given, **named)
    setattr(os, name, call)

watched("fsync", lambda descriptor: [os.readlink(f"/proc/self/fd/{descriptor}")])
watched("rename", lambda *given: map(str, given))
watched("replace", lambda *given: map(str, given))
real = subprocess.run
def run(words, *given, **named):
    say("run", *map(str, words))
    return real(words, *given, **named)
subprocess.run = run
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@on("trixie")
def test_what_a_power_failure_finds_is_whole(host: Host) -> None:
    """
    A name is given to what is on the disk already, and the pointer to what has its name: fsync, then rename, then fsync of
    the directory. No other file of the machine is waited for.
    """
    release = host.operator.edited({"static/robots.txt": "power"})
    words = ("python3", "-I", "-c", _WATCHED, host.program, "deploy", release.name)
    said = host.machine.run(*words, input=release.file).stdout.splitlines()
    calls = [line.removeprefix("disk: ") for line in said if line.startswith("disk: ")]

    home = f"/opt/{host.slug}"
    unpacked, final = f"{home}/releases/{release.name}.partial", f"{home}/releases/{release.name}"
    flush = [call for call in calls if call.startswith("run ") and " sync " in call]
    assert [call.partition("find ")[2] for call in flush] == [f"{unpacked} ! -type l -exec sync {{}} +"]
    pointer = Path(host.pointer)
    run = f"{home}/runs/{host.run}"
    in_order(
        calls,
        flush[0],
        f"rename {unpacked} {final}",
        f"fsync {home}/releases",
        f"fsync {run}/.environment.new",
        f"replace {run}/.environment.new {run}/environment",
        f"fsync {run}",
        f"fsync {pointer.with_name('.run.conf.new')}",
        f"replace {pointer.with_name('.run.conf.new')} {pointer}",
        f"fsync {pointer.parent}",
        "run systemctl daemon-reload",
    )


def in_order(calls: list[str], *expected: str) -> None:
    """
    Find them all, each after the one before.
    """
    rest = iter(calls)
    for call in expected:
        assert call in rest, (call, calls)
