"""
Releases that do not work: refused, while the one before serves on, and nobody notices.
"""

from __future__ import annotations

import shutil
from signal import SIGCONT, SIGSTOP

import pytest

from tests.vm import broken
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on
from tests.vm.leftovers import leftovers
from tests.vm.operator import Release
from tests.vm.test_killed import STEPS

#: What is broken → what the person who deploys is told.
REASONS = {
    "import": "RuntimeError: cannot be imported",
    "configuration": "RuntimeError: cannot be configured",
    "lifespan": "RuntimeError: cannot start",
    "lifespan, by an exit": "cannot go on",
    "never-ready": "down: broken",
    "migration": 'relation "items" already exists',
}


@pytest.mark.parametrize("what", REASONS)
@on("trixie")
def test_a_broken_release_is_refused(host: Host, what: str) -> None:
    """
    The old run serves on without a loss, the reason is said, the exit code is 1, and nothing is left behind.
    """
    refuse(host, host.operator.edited(broken.releases(host.operator.project)[what]), REASONS[what])


@pytest.mark.nightly
@on("trixie")
def test_a_worker_that_ends_before_it_serves_is_refused(host: Host) -> None:
    """
    It is replaced again and again, for as long as a start may take; then it is the same as any other broken release.
    """
    refuse(host, host.operator.edited(broken.ending(host.operator.project)), "exited with code 7")


@on("trixie")
def test_a_migration_that_takes_something_away_is_refused(host: Host) -> None:
    """
    A column that the running release reads is not dropped under it; the line is named, and so is what helps.
    """
    release = host.operator.edited(broken.migration('op.drop_column("items", "description")', title="Drop"))
    done = refuse(host, release, "0002_more.py, line 14, takes description away")
    assert "--allow-drops" in done
    assert "migrate for run" not in done


def refuse(host: Host, release: Release, reason: str) -> str:
    """
    Deploy a release that must not get through, under load; what was said.
    """
    run, before = host.run, leftovers(host)
    with NGINX.load(host) as load:
        done = host.deploy(release, check=False)
        load.wait_for(60)
    assert done.returncode == 1, done.stdout
    assert reason in done.stdout
    assert load.tally.lost == 0, load.tally.row(reason)
    assert host.run == run
    assert leftovers(host) == before
    return done.stdout


@on("trixie")
def test_a_secret_that_does_not_work_is_refused(host: Host) -> None:
    """
    A new run has new secrets: with a wrong one it does not start, and the old run keeps what it has, over a restart too.
    """
    run = host.run
    right = (host.machine / f"etc/{host.slug}/credentials/DATABASE_URL").read_text()
    host.set_secret("DATABASE_URL", right.replace("postgresql:", "nonsense:"))
    try:
        with NGINX.load(host) as load:
            done = host.release("restart", check=False)
            assert done.returncode == 1
            assert "DATABASE_URL" in done.stdout
            assert "secret@" not in done.stdout, "the password is in the log"
            assert host.run == run
            host.machine.run("systemctl", "restart", host.unit(run))
            load.wait_for(60)
        assert load.tally.lost == 0, load.tally.row("wrong secret")
    finally:
        host.set_secret("DATABASE_URL", right)
    host.release("restart")
    assert host.run > run


@on("trixie")
def test_a_fix_can_be_deployed_in_an_outage(host: Host) -> None:
    """
    A check that is down in the old run is forgiven in the new one. Migrations are left out: their database is away.
    """
    run = host.run
    release = host.operator.edited({"static/robots.txt": "fix\n"})
    host.machine.run("systemctl", "stop", "postgresql.service")
    try:
        refused = host.deploy(release, check=False)
        assert refused.returncode == 1, refused.stdout
        assert host.run == run
        host.deploy(release, "--skip-migrations")
        assert host.current == release.name
        assert host.ready_status() == 503
    finally:
        host.machine.run("systemctl", "start", "postgresql.service")
    host.wait_ready()


@on("trixie")
def test_a_run_that_is_silent_is_replaced_by_any(host: Host) -> None:
    """
    No answer to three questions is worse than every answer: nothing is asked of the new run. What waited is answered by it.
    """
    run = host.run
    release = host.operator.edited(broken.never_ready(host.operator.project))
    silent = host.machine.processes_of(host.unit(run))
    host.machine.kill(SIGSTOP, *silent)
    job = host.start_deploy(release)
    job.wait_for(STEPS["stop"])
    # Or systemd would wait until it may kill them.
    host.machine.kill(SIGCONT, *silent)
    assert job.end() == 0, job.said
    assert host.current == release.name
    assert host.ready_status() == 503
    assert host.ask("/api/v1/items?limit=1").status == 200
    host.deploy_edited({"static/robots.txt": "answers\n"})
    assert host.ready_status() == 200


@on("trixie")
def test_a_first_release_that_is_broken_leaves_no_socket(host: Host) -> None:
    """
    A socket without a run would let its clients wait. The next release, which works, is the first.
    """
    host.machine.run("systemctl", "stop", f"{host.slug}.target")
    home = host.machine / f"opt/{host.slug}"
    for folder in ("releases", "runs"):
        shutil.rmtree(home / folder)
        (home / folder).mkdir()
    pointer = host.machine / host.pointer
    pointer.unlink()
    host.machine.run("systemctl", "daemon-reload")

    done = host.deploy(host.operator.edited(broken.releases(host.operator.project)["import"]), check=False)
    assert done.returncode == 1, done.stdout
    assert "nothing serves" in done.stdout
    assert not host.machine.is_active(f"{host.slug}.socket")
    assert not host.runs
    assert not [*(home / "releases").iterdir(), *(home / "runs").iterdir()]
    # nginx has nobody to ask, and says so at once.
    assert host.ask("/api/v1/items?limit=1").status == 502
    release = host.deploy_edited({"static/robots.txt": "first\n"})
    assert host.current == release
    assert host.ready_status() == 200
