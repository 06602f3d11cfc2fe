"""
From a fresh machine to a service and back, by the commands of the rendered docs.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.projects import Projects
from tests.support.variants import of
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on
from tests.vm.operator import Operator
from tests.vm.traces import traces

#: A name that begins with that of the first service, and a place of its own.
SECOND, SECOND_DOMAIN = "my-service-two", "two.test"


def test_setting_up_again_changes_nothing(host: Host) -> None:
    """
    The installer may be run at any time: no file is written anew, and no run is disturbed.
    """
    run, before = host.run, traces(host)
    host.machine.run("touch", "/root/before")
    host.setup()
    out = host.machine.run("find", "/etc", f"/opt/{host.slug}", "-newer", "/root/before", "-type", "f").stdout
    host.machine.run("rm", "/root/before")
    assert out.splitlines() == [f"/opt/{host.slug}/lock"]
    assert traces(host) == before
    assert host.run == run


@on("trixie")
def test_a_domain_that_belongs_to_nobody_is_refused(host: Host) -> None:
    """
    Nobody deploys to example.com.
    """
    done = host.release("setup", "--domain", "api.example.com", check=False)
    assert done.returncode == 1
    assert "example.com" in done.stdout


@on("trixie")
def test_a_dry_run_changes_nothing(host: Host) -> None:
    """
    Every step is printed, none is done.
    """
    run, before = host.run, traces(host)
    _, artifact = host.operator.edited({"static/robots.txt": "dry"})
    done = host.deploy(artifact, "--dry-run")
    assert "would" in done.stdout
    assert host.release("rollback", "--dry-run", check=False).returncode in {0, 1}
    assert host.release("restart", "--dry-run").returncode == 0
    assert traces(host) == before
    assert host.run == run


@on("trixie")
def test_maintenance(host: Host) -> None:
    """
    The edge answers for the service, with a problem; whoever asks whether it is alive hears the truth.
    """
    host.release("maintenance", "on")
    try:
        answer = host.ask("/api/v1/items?limit=1")
        assert answer.status == 503
        assert answer.is_problem
        assert int(answer.headers["retry-after"]) > 0
        assert host.ask("/health").status == 200
    finally:
        host.release("maintenance", "off")
    assert host.ask("/api/v1/items?limit=1").status == 200


@on("trixie")
def test_a_second_service_from_elsewhere(host: Host, projects: Projects, folder: Path) -> None:
    """
    Another service on the same machine, set up, deployed and rolled back over ssh, and removed: the first one never notices,
    and nothing is left.
    """
    before = traces(host)
    project = projects.render(of(project_slug=SECOND, domain=SECOND_DOMAIN, database="none", edge_rate="100000"))
    second = Host(host.machine, Operator.of(project.sync(), folder / "second"), SECOND_DOMAIN)
    with Ssh(host, folder) as ssh, NGINX.load(host, kept=0, fresh=4) as load:
        make = second.operator.project.run
        make("make", "setup", "HOST=root@machine", f"DOMAIN={SECOND_DOMAIN}", env=ssh.environment)
        # Whoever deploys need not be root.
        make("make", "deploy", "HOST=deployer@machine", env=ssh.environment)
        first = second.current
        (second.operator.project / "static").mkdir(exist_ok=True)
        (second.operator.project / "static/robots.txt").write_text("second\n")
        second.operator.project.commit("second")
        make("make", "deploy", "HOST=deployer@machine", env=ssh.environment)
        assert second.current > first
        make("make", "rollback", "HOST=deployer@machine", env=ssh.environment)
        assert second.current == first
        assert second.ask("/api/v1/zones").status == 200
        assert second.ask("/ready").status == host.ask("/ready").status == 200
        make("make", "uninstall", "HOST=deployer@machine", "ARGS=--purge --yes", env=ssh.environment)
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("beside another")
    assert traces(host) == before


class Ssh:
    """
    A way into the machine's own sshd, for root and for somebody who may become root.
    """

    def __init__(self, host: Host, folder: Path) -> None:
        if not shutil.which("ssh-keygen"):
            pytest.skip("ssh is missing: install openssh-client (scripts/install-tools does, as root)")
        self._machine = host.machine
        self._key = folder / "key"
        self._config = folder / "ssh_config"

    @property
    def environment(self) -> Mapping[str, str]:
        return {"RELEASE_SSH": f"nsenter --net={self._machine.network} ssh -F {self._config}"}

    def __enter__(self) -> Ssh:
        self._key.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)
        self._config.write_text(
            f"Host machine\n  HostName 127.0.0.1\n  IdentityFile {self._key}\n  IdentitiesOnly yes\n"
            "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        )
        self._machine.run("useradd", "--create-home", "--shell", "/bin/sh", "deployer")
        (self._machine / "etc/sudoers.d/deployer").write_text("deployer ALL=(ALL) NOPASSWD: ALL\n")
        for user, home in (("root", "/root"), ("deployer", "/home/deployer")):
            self._machine.push(self._key.with_suffix(".pub"), f"{home}/.ssh/authorized_keys")
            self._machine.run("chown", "-R", user, f"{home}/.ssh")
        return self

    def __exit__(self, *_: object) -> None:
        # A session that lingers belongs to the connection that has just ended.
        self._machine.run("pkill", "-KILL", "-u", "deployer", check=False)
        self._machine.run("userdel", "--remove", "--force", "deployer", check=False)
        self._machine.run("rm", "-rf", "/etc/sudoers.d/deployer", "/root/.ssh/authorized_keys")
