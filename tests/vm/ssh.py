"""
A way into machines by their own sshd, as an operator has it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.machine import Machine

#: Besides root: who may become root without a password, and who is asked for one.
DEPLOYER, ASKED = "deployer", "asked"

# $1 the configuration, $2 … pairs of a name and a network, `--`, then the words of ssh. Every machine calls itself 127.0.0.1.
_SSH = """
config=$1
shift
while [ "$1" != -- ]; do
    eval "net_$1=\\$2"
    shift 2
done
shift
for word; do
    name=${word##*@}
    case $name in machine | web1 | web2) eval "net=\\${net_$name:-}" && [ -z "$net" ] || break ;; esac
done
exec nsenter --net="$net" SSH -F "$config" "$@"
"""


@dataclass(frozen=True)
class Ssh:
    """
    The key and the configuration of an operator.
    """

    key: Path
    command: str

    @property
    def environment(self) -> Mapping[str, str]:
        """
        The variables that let deploy/remote take this way.
        """
        return {"RELEASE_SSH": self.command}


@contextlib.contextmanager
def ssh(folder: Path, **machines: Machine) -> Iterator[Ssh]:
    """
    Let an operator in: as root, and as somebody who may become root. Machines by the name that is typed.
    """
    if not shutil.which("ssh-keygen"):
        pytest.skip("ssh is missing: install openssh-client (scripts/install-tools does, as root)")
    folder.mkdir(parents=True, exist_ok=True)
    key, config, script = folder / "key", folder / "ssh_config", folder / "ssh"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config.write_text(
        f"Host {' '.join(machines)}\n  HostName 127.0.0.1\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
        "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    script.write_text(_SSH.replace("SSH", str(shutil.which("ssh"))))
    networks = " ".join(f"{name} {machine.network}" for name, machine in machines.items())
    with contextlib.ExitStack() as closing:
        for machine in machines.values():
            closing.enter_context(_let_in(machine, key.with_suffix(".pub")))
        yield Ssh(key, f"sh {script} {config} {networks} --")


@contextlib.contextmanager
def _let_in(machine: Machine, key: Path) -> Iterator[None]:
    try:
        for user in (DEPLOYER, ASKED):
            machine.run("useradd", "--create-home", "--shell", "/bin/sh", user)
        rules = f"{DEPLOYER} ALL=(ALL) NOPASSWD: ALL\n{ASKED} ALL=(ALL) ALL\n"
        (machine / "etc/sudoers.d/operators").write_text(rules)
        for user, home in (("root", "/root"), (DEPLOYER, f"/home/{DEPLOYER}"), (ASKED, f"/home/{ASKED}")):
            machine.push(key, f"{home}/.ssh/authorized_keys")
            machine.run("chown", "-R", user, f"{home}/.ssh")
        yield
    finally:
        for user in (DEPLOYER, ASKED):
            # A session that lingers belongs to the connection that has just ended.
            machine.run("pkill", "-KILL", "-u", user, check=False)
            machine.run("userdel", "--remove", "--force", user, check=False)
        machine.run("rm", "-rf", "/etc/sudoers.d/operators", "/root/.ssh/authorized_keys")
