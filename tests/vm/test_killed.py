"""
A deploy that is killed, wherever it is: the service serves, the socket listens, and the next deploy works.
"""

from __future__ import annotations

import re
from signal import SIGINT, SIGKILL, Signals

from tests.support.processes import wait_until
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on

#: When it ends: at the beginning of this step, by this signal, which reaches the tool alone or, as Ctrl-C does, everything
#: that it has started.
ENDS = (
    ("install release", SIGINT, True),
    ("install release", SIGKILL, True),
    ("install release", SIGKILL, False),
    ("migrate", SIGKILL, False),
    ("start run", SIGKILL, False),
    ("start run", SIGKILL, True),
    ("give the socket", SIGKILL, False),
    ("stop run", SIGKILL, True),
    ("remove what", SIGKILL, False),
    ("start run", SIGINT, True),
    ("stop run", SIGINT, True),
)
#: More than the five within 10 s that systemd allows by default.
ATTEMPTS = 7


@on("trixie")
def test_a_deploy_that_ends_early_harms_nobody(host: Host) -> None:
    """
    At every step, under load: nothing is lost. Each deploy clears up what the one before has left, and the last one works.
    """
    artifact = ""
    with NGINX.load(host) as load:
        for number, (step, signal, group) in enumerate(ENDS):
            if not artifact or signal is SIGINT:
                # What a killed one has installed is not installed again. An interrupted one takes it away.
                artifact = host.push_artifact(host.operator.edited({"static/robots.txt": f"{number}"})[1])
            end_at(host, artifact, step, signal, group=group)
            serves(host, step)
            load.wait_for(50)
        host.deploy_edited({"static/robots.txt": "last"})
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("ended early")
    assert host.run


def end_at(host: Host, artifact: str, step: str, signal: Signals, *, group: bool) -> None:
    """
    Start a deploy and end it at the beginning of a step.
    """
    job = host.start_release("deploy", "--artifact", artifact)
    job.wait_for(rf"\] {step}")
    job.kill(signal, group=group)
    assert job.end() != 0, job.said
    assert "Traceback" not in job.said, job.said


def serves(host: Host, what: str) -> None:
    """
    The least that must be true after anything.
    """
    assert host.machine.is_active(f"{host.slug}.socket"), what
    assert host.ask("/api/v1/items?limit=1").status == 200, what


@on("trixie")
def test_a_deploy_that_is_killed_while_its_run_crashes(host: Host) -> None:
    """
    The run that nobody waits for any more crashes again and again; the one that serves is not harmed, and neither is the
    socket. The next deploy clears up.
    """
    # It ends within a moment, so that it has been started often before systemd's default limit forgets about it.
    _, artifact = host.operator.edited({"gunicorn.conf.py": 'raise RuntimeError("cannot be configured")\n'})
    with NGINX.load(host) as load:
        job = host.start_release("deploy", "--artifact", host.push_artifact(artifact))
        job.wait_for(r"\] start run \d+ ")
        crashing = int(re.findall(r"start run (\d+)", job.said)[-1])
        unit = host.unit(crashing)
        wait_until(lambda: host.machine.show(unit, "ActiveState")["ActiveState"] == "activating", seconds=30, what=unit)
        job.kill(SIGKILL, group=True)
        job.end()
        wait_until(lambda: restarts(host, crashing) >= ATTEMPTS, seconds=60, what="attempts to start")
        serves(host, "crashing")
        release = host.deploy_edited({"static/robots.txt": "mended"})
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("crashing")
    assert host.current == release


def restarts(host: Host, number: int) -> int:
    return int(host.machine.show(host.unit(number), "NRestarts")["NRestarts"])


@on("trixie")
def test_a_deploy_onto_a_full_disk(host: Host) -> None:
    """
    The disk is full while a release is unpacked: it is said in one line, nothing is left of it, and the service serves on.
    """
    run = host.run
    releases = f"/opt/{host.slug}/releases"
    before = sorted(path.name for path in (host.machine / releases).iterdir())
    _, artifact = host.operator.edited({"static/robots.txt": "full"})
    place = host.push_artifact(artifact)
    size = host.machine.run("du", "--summarize", "--block-size=1M", releases).stdout.split()[0]
    # The same releases, on a disk that has no room for one more.
    host.machine.run("cp", "-a", releases, "/root/releases")
    host.machine.run("mount", "-t", "tmpfs", "-o", f"size={int(size) + 20}M,mode=755", "tmpfs", releases)
    try:
        host.machine.run("sh", "-c", f"cp -a /root/releases/. {releases}/")
        done = host.release("deploy", "--artifact", place, check=False)
        assert done.returncode == 1, done.stdout
        assert "the disk is full" in done.stdout
        assert "Traceback" not in done.stdout
        assert host.run == run
        serves(host, "full")
        assert sorted(path.name for path in (host.machine / releases).iterdir()) == before
    finally:
        host.machine.run("umount", "--lazy", releases)
        host.machine.run("rm", "-rf", "/root/releases")
    host.release("deploy", "--artifact", place)
    assert host.run > run


@on("trixie")
def test_two_deploys_at_once_are_refused(host: Host) -> None:
    """
    The second is told who is at work.
    """
    _, artifact = host.operator.edited({"static/robots.txt": "twice"})
    job = host.start_release("deploy", "--artifact", host.push_artifact(artifact))
    job.wait_for(r"\] install release")
    second = host.release("restart", check=False)
    assert second.returncode == 1
    assert re.search(r"deploy \(pid \d+\) is at work", second.stdout), second.stdout
    assert job.end() == 0, job.said
