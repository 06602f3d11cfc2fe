"""
Releases that do not work: refused, while the one before serves on, and nobody notices.
"""

from __future__ import annotations

import pytest

from tests.vm import broken
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on
from tests.vm.traces import traces

#: What is broken → what the person who deploys is told.
REASONS = {
    "import": "cannot be imported",
    "lifespan": "cannot start",
    "never-ready": "down: broken",
    "migration": 'relation "items" already exists',
}


@pytest.mark.parametrize("what", REASONS)
@on("trixie")
def test_a_broken_release_is_refused(host: Host, what: str) -> None:
    """
    The old run serves on without a loss, the reason is said, the exit code is 1, and nothing is left behind.
    """
    run, before = host.run, traces(host)
    _, artifact = host.operator.edited(broken.releases(host.operator.project)[what])
    with NGINX.load(host) as load:
        done = host.deploy(artifact, check=False)
        load.wait_for(100)
    assert done.returncode == 1, done.stdout
    assert REASONS[what] in done.stdout
    assert load.tally.lost == 0, load.tally.row(what)
    assert host.run == run
    assert traces(host) == before


@on("trixie")
def test_a_migration_that_takes_something_away_is_refused(host: Host) -> None:
    """
    A column that the running release reads is not dropped under it; the line is named.
    """
    run, before = host.run, traces(host)
    _, artifact = host.operator.edited(broken.migration('op.drop_column("items", "description")', title="Drop"))
    done = host.deploy(artifact, check=False)
    assert done.returncode == 1, done.stdout
    assert "description" in done.stdout
    assert "--force-migration" in done.stdout
    assert host.run == run
    assert traces(host) == before


@on("trixie")
def test_a_secret_that_does_not_work_is_refused(host: Host) -> None:
    """
    A new run has new secrets: with a wrong one it does not start, and the old run keeps what it has, over a restart too.
    """
    run = host.run
    right = (host.machine / f"etc/{host.slug}/credentials/DATABASE_URL").read_text()
    host.set_secret("DATABASE_URL", right.replace("postgresql:", "nonsense:"))
    try:
        done = host.release("restart", check=False)
        assert done.returncode == 1
        assert "DATABASE_URL" in done.stdout
        assert "secret@" not in done.stdout, "the password is in the log"
        assert host.run == run
        host.machine.run("systemctl", "restart", host.unit(run))
        host.wait_ready()
    finally:
        host.set_secret("DATABASE_URL", right)
    host.release("restart")
    assert host.run > run


@on("trixie")
def test_a_fix_can_be_deployed_in_an_outage(host: Host) -> None:
    """
    What is down in the old run is forgiven in the new one.
    """
    run = host.run
    host.machine.run("systemctl", "stop", "postgresql.service")
    try:
        host.release("restart")
        assert host.run > run
        assert host.ready_status() == 503
    finally:
        host.machine.run("systemctl", "start", "postgresql.service")
    host.wait_ready()
