"""
A deploy that ends early, wherever it is: the service serves, the socket listens, and the next deploy works.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals

import pytest

from tests.support.processes import wait_until
from tests.vm import broken
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on
from tests.vm.leftovers import leftovers
from tests.vm.operator import Release

#: What a deploy says at the beginning of each step.
STEPS = {
    "unpack": "unpack 2",
    "migrate": "migrate for run",
    "start": "start run",
    "point": "point the socket",
    "stop": "stop run",
}
#: From here on it is brought to its end.
LATE = ("point", "stop")
#: When it ends: at the beginning of a step, by a signal, which reaches the program alone or, as Ctrl-C does, everything that
#: it has started.
ENDS = tuple(itertools.product(STEPS, (SIGTERM, SIGINT, SIGKILL), (False, True)))
#: One of each kind: every step and its undoing, what is left by a kill, and Ctrl-C as a terminal sends it.
CHOSEN = (
    ("unpack", SIGINT, True),
    ("unpack", SIGKILL, False),
    ("migrate", SIGTERM, False),
    ("migrate", SIGKILL, True),
    ("start", SIGINT, True),
    ("start", SIGTERM, False),
    ("start", SIGKILL, False),
    ("point", SIGKILL, False),
    ("point", SIGINT, True),
    ("stop", SIGKILL, True),
)
#: More than the five within 10 s that systemd allows by default.
ATTEMPTS = 7


@on("trixie")
def test_a_deploy_that_ends_early_harms_nobody(host: Host) -> None:
    """
    At every step, under load: nothing is lost. Each deploy clears up what the one before has left, and the last one works.
    """
    end_everywhere(host, CHOSEN)


@pytest.mark.nightly
@on("trixie")
def test_a_deploy_that_ends_early_in_any_way_harms_nobody(host: Host) -> None:
    """
    Every step, every signal, alone and with what was started.
    """
    end_everywhere(host, ENDS)


def end_everywhere(host: Host, ends: tuple[tuple[str, Signals, bool], ...]) -> None:
    before = leftovers(host)
    with NGINX.load(host) as load:
        for step, signal, group in ends:
            end_at(host, step, signal, group=group)
            load.wait_for(50)
        release = host.deploy_edited({"static/robots.txt": "last"})
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("ended early")
    assert host.current == release
    assert unlike(host, leftovers(host)) == unlike(host, before)
    assert_tidy(host)


def end_at(host: Host, step: str, signal: Signals, *, group: bool) -> None:
    """
    Start a deploy and end it at the beginning of a step.
    """
    what = f"{step}, {signal.name}{' with its children' if group else ''}"
    runs = host.runs
    release = host.operator.edited({"static/robots.txt": what})
    job = host.start_deploy(release)
    job.wait_for(STEPS[step])
    job.kill(signal, group=group)
    code = job.end()
    assert "Traceback" not in job.said, f"{what}\n{job.said}"
    assert serves(host), what
    if signal is SIGKILL:
        assert code == -SIGKILL, f"{what}\n{job.said}"
    elif step in LATE:
        assert code in {0, *entrance(signal, group=group)}, f"{what}\n{job.said}"
        assert host.current == release.name, what
    else:
        assert code in {130, *entrance(signal, group=group)}, f"{what}\n{job.said}"
        # Whatever an earlier one has left is gone, and this one has left nothing.
        assert len(host.runs) == 1, f"{what}: {host.runs}, before {runs}"
        assert release.name not in host.releases, what


def entrance(signal: Signals, *, group: bool) -> set[int]:
    """
    Of a group the signal may have ended what has entered the machine, too; then its exit code is all there is.
    """
    return {-signal} if group else set()


def serves(host: Host) -> bool:
    """
    The least that must be true after anything.
    """
    return host.machine.is_active(f"{host.slug}.socket") and host.ask("/api/v1/items?limit=1").status == 200


def unlike(host: Host, found: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """
    Traces without the names of releases and the numbers of runs, and without what is in a release or published of it.
    """
    names = (rf"{host.slug}@\d+", r"/runs/\d+", r"\d{8}T\d{6}Z-[0-9a-f]+.*", "/static/.*")
    return {tuple(re.sub("|".join(names), "…", word) for word in trace) for trace in found}


def assert_tidy(host: Host) -> None:
    """
    Three releases are kept beside the one that serves; only runs of theirs have directories, and only they have static files.
    """
    home = host.machine / f"opt/{host.slug}"
    kept = set(host.releases)
    assert host.current in kept
    assert len(kept) <= 4, kept
    runs = {path.name: path for path in (home / "runs").iterdir()}
    assert {(path / "release").readlink().name for path in runs.values()} == kept
    copies = {name for name, path in runs.items() if (path / "environment").exists() or (path / "credentials").exists()}
    assert copies == {str(host.run)}
    static = {name: below(home / "releases" / name / "static") for name in kept}
    assert static[host.current] <= below(home / "static") <= set.union(*static.values())


def below(folder: Path) -> set[Path]:
    """
    The files in a folder, without links that lead out of it.
    """
    paths = (path for path in folder.rglob("*") if not path.is_symlink() or ".." not in path.readlink().parts)
    return {path.relative_to(folder) for path in paths if path.is_file()}


@on("trixie")
def test_a_second_interrupt_does_not_meet_the_undoing(host: Host) -> None:
    """
    Ctrl-C again and again, by somebody who does not want to wait: the undoing is done all the same.
    """
    run, before = host.run, leftovers(host)
    job = host.start_deploy(host.operator.edited({"static/robots.txt": "impatient"}))
    job.wait_for(STEPS["start"])

    def interrupt() -> bool:
        job.kill(SIGINT, group=True)
        return job.process.poll() is not None

    wait_until(interrupt, seconds=120, what="the end of an interrupted deploy")
    assert job.end() in {130, *entrance(SIGINT, group=True)}, job.said
    assert f"is undone; run {run} is still serving" in job.said
    assert host.run == run
    assert leftovers(host) == before


@on("trixie")
def test_a_connection_that_is_lost_ends_no_deploy(host: Host) -> None:
    """
    The terminal hangs up, and nobody reads any more what is said: the move is brought to its end.
    """
    release = host.operator.edited({"static/robots.txt": "lost"})
    with NGINX.load(host) as load:
        job = host.machine.start("sh", "-c", f"{host.program} deploy {release.name} 2>&1 | cat", input=release.file)
        job.wait_for(STEPS["start"])
        job.kill(SIGHUP, group=True)
        job.end()
        wait_until(lambda: host.releases[-1:] == [release.name] and host.is_at_rest, seconds=120, what="its end")
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("connection lost")
    assert STEPS["point"] not in job.said
    assert host.current == release.name


@on("trixie")
def test_a_deploy_that_is_killed_while_its_run_crashes(host: Host) -> None:
    """
    The run that nobody waits for any more crashes again and again; the one that serves is not harmed, and neither is the
    socket. The next deploy clears up.
    """
    # It ends within a moment, so that it has been started often before systemd's default limit forgets about it.
    release = host.operator.edited(broken.releases(host.operator.project)["configuration"])
    with NGINX.load(host) as load:
        job = host.start_deploy(release)
        job.wait_for(STEPS["start"])
        crashing = int(re.findall(r"start run (\d+)", job.said)[-1])
        unit = host.unit(crashing)
        wait_until(lambda: host.machine.show(unit, "ActiveState")["ActiveState"] == "activating", seconds=30, what=unit)
        job.kill(SIGKILL, group=True)
        job.end()
        wait_until(lambda: restarts(host, crashing) >= ATTEMPTS, seconds=60, what="attempts to start")
        assert serves(host)
        name = host.deploy_edited({"static/robots.txt": "mended"})
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("crashing")
    assert host.current == name
    assert_tidy(host)


def restarts(host: Host, number: int) -> int:
    return int(host.machine.show(host.unit(number), "NRestarts")["NRestarts"])


@on("trixie")
def test_an_upload_that_is_cut_is_refused(host: Host, tmp_path: Path) -> None:
    """
    Half of a release is none: it is said, and nothing is left of it.
    """
    run, before = host.run, leftovers(host)
    whole = host.operator.edited({"static/robots.txt": "half"})
    half = tmp_path / "half"
    half.write_bytes(whole.file.read_bytes()[: whole.file.stat().st_size // 2])
    done = host.deploy(Release(whole.name, half), check=False)
    assert done.returncode == 1, done.stdout
    assert "unexpected end of file" in done.stdout
    assert host.run == run
    assert leftovers(host) == before


@on("trixie")
def test_a_deploy_onto_a_full_disk(host: Host) -> None:
    """
    The disk is full while a release is unpacked: it is said in one line, nothing is left of it, and the service serves on.
    """
    run, before = host.run, host.releases
    folder = f"/opt/{host.slug}/releases"
    release = host.operator.edited({"static/robots.txt": "full"})
    size = host.machine.run("du", "--summarize", "--block-size=1M", folder).stdout.split()[0]
    # The same releases, on a disk that has no room for one more.
    host.machine.run("cp", "-a", folder, "/root/releases")
    host.machine.run("mount", "-t", "tmpfs", "-o", f"size={int(size) + 20}M,mode=755", "tmpfs", folder)
    try:
        host.machine.run("sh", "-c", f"cp -a /root/releases/. {folder}/")
        done = host.deploy(release, check=False)
        assert done.returncode == 1, done.stdout
        assert done.stdout.splitlines()[1:] == ["the disk is full"]
        assert host.run == run
        assert serves(host)
        assert host.releases == before
    finally:
        host.machine.run("umount", "--lazy", folder)
        host.machine.run("rm", "-rf", "/root/releases")
    host.deploy(release)
    assert host.run > run


@on("trixie")
def test_two_deploys_at_once_are_refused(host: Host) -> None:
    """
    The second is told who is at work.
    """
    job = host.start_deploy(host.operator.edited({"static/robots.txt": "twice"}))
    job.wait_for(STEPS["unpack"])
    second = host.release("restart", check=False)
    assert second.returncode == 1
    assert re.search(r"deploy \(pid \d+\) is at work here; wait until", second.stdout), second.stdout
    assert job.end() == 0, job.said


@on("trixie")
def test_the_lock_ends_with_its_process(host: Host) -> None:
    """
    A child of a killed command may still be busy: the next command need not wait, and nobody unlocks anything.
    """
    run = host.run
    job = host.start_deploy(host.operator.edited({"static/robots.txt": "locked"}))
    job.wait_for(STEPS["unpack"])
    job.kill(SIGKILL)
    job.end()
    host.release("restart")
    assert host.run > run


@on("trixie")
def test_only_root_can_hold_the_lock(host: Host) -> None:
    """
    A user who may open it may hold it, and with it every deploy.
    """
    lock = f"/opt/{host.slug}/lock"
    assert (host.machine / lock).stat().st_mode & 0o777 == 0o600
    done = host.machine.run("flock", "--nonblock", lock, "true", user="daemon", check=False)
    assert "Permission denied" in done.stdout, done.stdout
