"""Another machine, over the system's own ssh: its configuration, keys and agent are used."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from release import say
from release.say import Problem

# What the tool needs there: itself, and what it installs.
SENT = ("deploy", ".env.example")

# Answers in four lines. Python is looked for here, so that the first error is the true one.
RECEIVE = """
umask 077
command -v python3 >/dev/null || {{ echo no-python; exit 0; }}
if [ "$(id -u)" = 0 ]; then echo root; elif sudo -n true 2>/dev/null; then echo sudo
else echo no-sudo; exit 0; fi
folder=$(mktemp -d "${{TMPDIR:-/tmp}}/{slug}-release.XXXXXXXX") &&
tar -xzf - -C "$folder" && echo "$folder"
"""

# Says whom a Ctrl-C is for.
NOTE = 'echo $$ > "$1/pid"; shift; exec "$@"'


class Connection:
    """
    One host and one connection to it, which all commands share.

    RELEASE_SSH replaces the command `ssh`, for example by `ssh -F deploy/ssh_config`.
    """

    def __init__(self, name: str, slug: str) -> None:
        """`name` is what ssh takes: user@host, an alias, or ssh://user@host:port."""
        if not name or name.startswith("-") or any(character.isspace() for character in name):
            raise Problem(f"{name!r} is not a host; type for example root@203.0.113.7")
        self.name = name
        self.slug = slug
        self.folder = ""
        self.become: list[str] = []
        # Short: the path of a socket has room for about 100 characters, 40 of them ssh's.
        self.control = Path(tempfile.mkdtemp(prefix="release-", dir="/tmp"))
        program = shlex.split(os.environ.get("RELEASE_SSH", "")) or ["ssh"]
        if not shutil.which(program[0]):
            raise Problem(f"{program[0]} is missing: apt-get install openssh-client")
        options = ["ControlMaster=auto", f"ControlPath={self.control}/%C", "ControlPersist=60"]
        # A host that has gone is noticed after a minute, not after two hours.
        options += ["ServerAliveInterval=15", "ServerAliveCountMax=4", "ConnectTimeout=15"]
        self.ssh = [*program, *(word for option in options for word in ("-o", option))]

    def command(self, words: Sequence[str], terminal: bool = False) -> list[str]:
        """Write the local command that runs `words` there."""
        return [*self.ssh, *(["-t"] if terminal else []), "--", self.name, shlex.join(words)]

    def connect(self, root: Path) -> None:
        """Send the tool there; refuse a host where it cannot work."""
        done = subprocess.run(
            self.command(["sh", "-c", RECEIVE.format(slug=self.slug)]),
            input=packed(root),
            stdout=subprocess.PIPE,
            check=False,
        )
        answer = done.stdout.decode().split()
        if "no-python" in answer:
            raise Problem(f"{self.name} has no python3; there: apt-get install python3")
        if "no-sudo" in answer:
            raise Problem(
                f"{self.name} asks for a password when it becomes root; "
                "log in as root, or allow the user `NOPASSWD: ALL` in /etc/sudoers.d/"
            )
        if done.returncode or len(answer) < 2:
            raise Problem(f"{self.name} cannot be reached by ssh, or its /tmp is full (see above)")
        self.become = ["sudo", "-n"] if answer[-2] == "sudo" else []
        self.folder = answer[-1]

    def tool(self, words: Sequence[str]) -> list[str]:
        """Write the remote command that runs the tool there, as root."""
        # -B: root would leave compiled files in the folder, which the user could not remove.
        return [*self.become, "python3", "-B", f"{self.folder}/deploy/release", *words]

    def run(self, words: Sequence[str], given: bytes | None = None, terminal: bool = False) -> int:
        """Run a verb there; what it says streams through, its exit code is returned."""
        noted = ["sh", "-c", NOTE, "release", self.folder, *self.tool(words)]
        process = subprocess.Popen(
            self.command(noted, terminal),
            stdin=subprocess.PIPE if given is not None else source(terminal),
            # Away from the terminal's Ctrl-C: that would only cut the connection.
            start_new_session=not terminal,
        )
        try:
            process.communicate(given)
        except KeyboardInterrupt:
            self.interrupt()
            process.wait()
            raise
        return process.returncode

    def interrupt(self) -> None:
        """Have the tool there stop and clear up, as Ctrl-C does here."""
        say.warn(f"interrupting {self.name}, which clears up")
        kill = shlex.join([*self.become, "kill", "-INT"])
        command = ["sh", "-c", f'{kill} "$(cat {shlex.quote(self.folder)}/pid)"']
        subprocess.run(self.command(command), capture_output=True, check=False)

    def ask(self, words: Sequence[str]) -> str:
        """Run a verb there and return what it prints."""
        command = self.command(self.tool(words))
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Problem(f"{self.name}: `release {words[0]}` failed (see above)")
        return done.stdout

    def send(self, path: Path) -> str:
        """Copy a file into the folder of the tool; return its path there."""
        target = f"{self.folder}/{path.name}"
        with path.open("rb") as source:
            done = subprocess.run(
                self.command(["sh", "-c", f"cat > {shlex.quote(target)}"]),
                stdin=source,
                check=False,
            )
        if done.returncode:
            raise Problem(f"{path.name} cannot be copied to {self.name}: is its /tmp full?")
        return target

    def close(self) -> None:
        """Leave nothing there, and end the connection."""
        if self.folder:
            subprocess.run(self.command(["rm", "-rf", "--", self.folder]), check=False)
        subprocess.run([*self.ssh, "-O", "exit", "--", self.name], capture_output=True, check=False)
        shutil.rmtree(self.control, ignore_errors=True)


def source(terminal: bool) -> int | None:
    """Choose what the verb there reads: what is piped in here, a terminal only for `exec`."""
    return None if terminal or not sys.stdin.isatty() else subprocess.DEVNULL


@lru_cache(maxsize=1)
def packed(root: Path) -> bytes:
    """Pack the tool and the files it installs, as they are in the working tree."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in SENT:
            if (root / name).exists():
                archive.add(root / name, arcname=name, filter=without_litter)
    return buffer.getvalue()


def without_litter(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave compiled files at home, and the owner's name."""
    if "__pycache__" in member.name:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
