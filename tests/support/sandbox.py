"""
A sandbox: a mount, network and process namespace of its own, in which a real proxy runs at its real paths and ports.

    with Sandbox() as sandbox:
        sandbox.write("/etc/nginx/sites-enabled/x.conf", text)
        sandbox.start("nginx", "-g", "daemon off;")
        with sandbox.inside():
            socket.create_connection(("127.0.0.1", 443))

Its files are an overlay over a root file system, in memory: what is written there is gone at the end. Its network is
loopback alone, where every 127.x.y.z is an address of its own: clients are told apart by it. Whatever was started in it ends
with it, also when the tests are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shlex
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest

from tests.support import failure, processes, questions

TOOLS = ("unshare", "nsenter", "mount", "chroot")
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private")
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP_AND_RUNNING = 0x41

# The first process of the sandbox: it ends when its standard input does, and everything in there with it.
_FURNISH = """
set -e
base=$1 root=$2; shift 2
mount -t tmpfs -o mode=0755 sandbox "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay -o "lowerdir=$root,upperdir=$base/upper,workdir=$base/work" sandbox "$base/root"
cd "$base/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=0755 run run
mkdir -p run/lock
for shared; do mkdir -p ".$shared"; mount --rbind "$shared" ".$shared"; done
exec chroot . /bin/sh -c 'echo furnished; exec cat'
"""


class Sandbox:
    """
    Use as a context manager. `root` is the file system it stands on, `shared` are folders of this machine that it sees.
    """

    def __init__(self, root: Path = Path("/"), shared: Sequence[Path] = ()) -> None:
        absent = [name for name in TOOLS if not shutil.which(name)] + ([] if os.geteuid() == 0 else ["root"])
        if absent:
            pytest.skip(f"{', '.join(absent)} missing: a proxy cannot be given ports and files of its own")
        self._root = root
        self._shared = [questions.ROOT, *shared]
        self._base = Path(tempfile.mkdtemp(prefix="sandbox-"))
        self._closing = contextlib.ExitStack()
        self._logs: dict[int, tuple[str, Path]] = {}

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        self._logs_folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-logs-")))
        # What happens to be mounted at a temporary folder of the host has to be there too.
        shared = dict.fromkeys(str(path.resolve()) for path in [*self._shared, self._logs_folder])
        self._holder = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _FURNISH, "sandbox", str(self._base), str(self._root), *shared],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._holder.stdout
        said = self._holder.stdout.readline()
        if said != "furnished\n":
            rest = said + self._holder.communicate()[0]
            self.close()
            pytest.skip(f"this machine does not let root make namespaces: {rest.strip()}")
        (self.pid,) = processes.children(self._holder.pid)
        with self.inside(), socket.socket() as probe:
            fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP_AND_RUNNING))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """
        End everything in it. Never fails, so that it can stand in every `finally`.
        """
        processes.kill_group(self._holder.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._holder.wait(10)
        for stream in (self._holder.stdin, self._holder.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()
        self._closing.close()
        with contextlib.suppress(OSError):
            self._base.rmdir()

    # Its files

    def path(self, inside: str) -> Path:
        """
        A path of the sandbox as this process reaches it. (Where no absolute symbolic link is on the way.)
        """
        return Path(f"/proc/{self.pid}/root{inside}")

    def read(self, inside: str) -> str:
        return self.path(inside).read_text(encoding="utf-8", errors="replace")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """
        Write a file, with the folders on its way.
        """
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    # Its processes

    def command(self, *words: str | Path) -> list[str]:
        """
        The words that run a command in there.
        """
        enter = [
            shutil.which("nsenter") or "nsenter",
            "--target",
            str(self.pid),
            "--mount",
            "--net",
            "--pid",
            "--root",
            "--wd",
            "--",
        ]
        return enter + [str(word) for word in words]

    def run(
        self, *words: str | Path, check: bool = True, timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command in there to its end; both its outputs are in `stdout`.
        """
        __tracebackhide__ = True
        done = subprocess.run(
            self.command(*words),
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            title = f"`{shlex.join(map(str, words))}` ended with {done.returncode}, in a sandbox on {self._root}"
            pytest.fail(failure.frame(done.stdout, title=title), pytrace=False)
        return done

    def start(self, *words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """
        Start a program in there that stays; `logs()` has what it says.
        """
        path = self._logs_folder / f"{len(self._logs)}-{Path(str(words[0])).name}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                self.command(*words),
                env=_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._logs[process.pid] = (str(words[0]), path)
        self._closing.callback(process.wait, 10)
        self._closing.callback(processes.kill_group, process.pid)
        return process

    def logs(self) -> str:
        """
        The output of the programs so far, each framed.
        """
        return "\n".join(
            failure.frame(path.read_text(errors="replace"), title=program)
            for program, path in self._logs.values()
            if path.exists()
        )

    # Its network

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """
        This thread, and whatever thread or process it starts meanwhile, makes its sockets in the sandbox's network.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            with open(f"/proc/{self.pid}/ns/net") as away:
                _enter(away.fileno())
            yield
        finally:
            _enter(home)
            os.close(home)

    def listen(self, address: str | int, backlog: int = 2048, mode: int = 0o666) -> socket.socket:
        """
        A listening socket in there, as systemd would hold it: a port of 127.0.0.1, or the path of a unix socket.
        """
        if isinstance(address, int):
            with self.inside():
                return processes.listen(address, backlog)
        listener = socket.socket(socket.AF_UNIX)
        path = self.path(address)
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(backlog)
        return listener


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """
    The environment that a service manager would give: nothing of the tests' own settings.
    """
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        **(extra or {}),
    }
