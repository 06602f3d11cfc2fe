"""
A machine: Debian with a real systemd as process 1, in a network of its own, thrown away at the end.

    with Machine("trixie") as machine:
        machine.run("systemctl", "is-active", "nginx")
        (machine / "etc/hostname").read_text()

It is a container of systemd-nspawn over a root file system that is never written to: changes lie in memory above it, and survive
a reboot. Nothing of it outlives the process that made it, however that one ends.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import Any, Self

import pytest

from tests.support import control_groups, failure, processes
from tests.support.jobs import Job
from tests.support.locks import one_of
from tests.support.rootfs import missing, root

#: So many at once on a computer, over all test runs: each has a lock, and a control group of its own in every hierarchy
#: there is, so that limits hold and nothing is mistaken for the host's or for another machine's.
SLOTS = tuple(f"steadfast-machine-{number}" for number in range(4))
#: systemd-nspawn ends with this code when the machine wants to boot again.
REBOOT = 133

# $1 its control group, $2 the folder for mounts, $3 the root file system, $4 … what is bound into it. Runs in namespaces of its own: mounts,
# processes, network. The network is made here and not by nspawn, so that it is the same one after a reboot.
_OUTSIDE = """
set -e
group=$1 folder=$2 lower=$3
shift 3
mount -t tmpfs -o size=75% tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
mount -t tmpfs tmpfs /run
ip link set lo up
code=REBOOT
while [ $code = REBOOT ]; do
    code=0
    (
        for procs in /sys/fs/cgroup/$group/cgroup.procs /sys/fs/cgroup/*/$group/cgroup.procs; do
            [ ! -e "$procs" ] || echo 0 >"$procs"
        done
        exec systemd-nspawn --quiet --register=no --keep-unit --machine=$group --console=pipe --boot \\
            --network-namespace-path=/proc/self/ns/net --capability=CAP_NET_ADMIN \\
            --directory="$folder/root" "$@" </dev/null
    ) || code=$?
done
exit $code
""".replace("REBOOT", str(REBOOT))

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STREAMS: Mapping[str, Any] = {
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
    "errors": "replace",
    "start_new_session": True,
}

# In the old layout of control groups nspawn mounts the controllers read-only. systemd uses them when it may.
_CONTROLLERS = """
for name in memory cpu cpuacct; do
    [ ! -d /sys/fs/cgroup/$name ] || mount -o remount,bind,rw /sys/fs/cgroup/$name
done
[ ! -d /sys/fs/cgroup/memory ] || systemctl daemon-reexec
"""


class Machine:
    """
    Use as a context manager. `binds` are folders of the host that are seen in it, read-only: path there → path here.
    """

    def __init__(self, suite: str, *, binds: Mapping[str, Path] | None = None) -> None:
        if absent := missing():
            pytest.skip(f"{', '.join(absent)} missing: no machine can be booted")
        self.suite = suite
        self._root = root(suite)
        self._binds = binds or {}
        self._closing = contextlib.ExitStack()
        self._outside: subprocess.Popen[bytes]
        self._leader: int | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            self._group = closing.enter_context(one_of(SLOTS))
            self._folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="machine-")))
            control_groups.make(self._group)
            closing.callback(control_groups.remove, self._group)
            self._start()
            closing.callback(self._end)
            self._wait_booted()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    # Its life

    def _start(self) -> None:
        mounts = self._folder / "mounts"
        mounts.mkdir()
        binds = [f"--bind-ro={here}:/{there.lstrip('/')}" for there, here in self._binds.items()]
        # It ends with the thread that made it, and everything in it ends with its first process.
        words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--kill-child", "--fork", "--pid", "--mount-proc"]
        words += ["--mount", "--net", "sh", "-c", _OUTSIDE, "sh", self._group, str(mounts), str(self._root), *binds]
        with (self._folder / "console").open("wb") as console:
            self._outside = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )

    def _end(self) -> None:
        self._outside.kill()
        self._outside.wait(30)

    def _wait_booted(self, *, seconds: float = 180, after: int | None = None) -> None:
        """
        Wait until systemd has done what it does at boot; `after` is the first process of the boot before.
        """
        __tracebackhide__ = True
        self._leader = None

        def is_booted() -> bool:
            if self._outside.poll() is not None:
                pytest.fail(failure.frame(self.console(), title="the machine ended"), pytrace=False)
            if (leader := self._find_leader()) in {None, after}:
                return False
            self._leader = leader
            state = self.run("systemctl", "is-system-running", "--wait", check=False, timeout=seconds).stdout.strip()
            return state in {"running", "degraded"}

        try:
            processes.wait_until(is_booted, seconds=seconds, what=f"{self.suite} has booted")
        except TimeoutError as error:
            pytest.fail(failure.frame(self.console(), title=str(error)), pytrace=False)
        self.run("sh", "-c", _CONTROLLERS)

    def _find_leader(self) -> int | None:
        # unshare → sh → systemd-nspawn → process 1.
        pid: int | None = self._outside.pid
        for _ in range(3):
            pid = next(iter(processes.children(pid)), None) if pid else None
        return pid

    def reboot(self) -> None:
        """
        Boot again, in order; returns when it is up.
        """
        self.start_reboot()
        self.wait_rebooted()

    def start_reboot(self) -> None:
        self._before = self.leader
        self.run("systemctl", "reboot", "--no-block")

    def wait_rebooted(self) -> None:
        self._wait_booted(after=self._before, seconds=300)

    def console(self) -> str:
        """
        The messages of the boot.
        """
        return (self._folder / "console").read_text(errors="replace")

    # Its inside

    @property
    def leader(self) -> int:
        """
        Its process 1, as the host sees it.
        """
        assert self._leader is not None, "it is not up"
        return self._leader

    @property
    def network(self) -> Path:
        """
        Its network, for a load of this process.
        """
        return Path(f"/proc/{self._outside.pid}/ns/net")

    def __truediv__(self, path: str) -> Path:
        """
        A path of it, as the host sees it.
        """
        return Path(f"/proc/{self.leader}/root") / path.lstrip("/")

    def start(self, *words: str, folder: str = "/", input: Path | None = None) -> Job:
        """
        Start a command in it, to be watched; it reads a file of this computer.
        """
        inside = self._inside(words, folder=folder)
        with (input or Path(os.devnull)).open("rb") as stdin:
            return Job(subprocess.Popen(inside, **_STREAMS, stdin=stdin))

    def run(
        self,
        *words: str,
        check: bool = True,
        timeout: float = 120,
        input: str | Path | None = None,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        folder: str = "/",
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command in it, which reads a text, or a file of this computer. With `check`, a failure shows the end of its
        output, which is that of both streams.
        """
        __tracebackhide__ = True
        inside = self._inside(words, folder=folder, user=user, environment=environment)
        file, text = (input, None) if isinstance(input, Path) else (Path(os.devnull), input)
        with (
            file.open("rb") as stdin,
            subprocess.Popen(inside, **_STREAMS, stdin=subprocess.PIPE if text else stdin) as process,
        ):
            try:
                output, _ = process.communicate(text, timeout)
                outcome = f"ended with {process.returncode}"
            except subprocess.TimeoutExpired:
                processes.kill_group(process.pid)
                output, _ = process.communicate()
                outcome = f"did not end within {timeout:g} s"
        if (check and process.returncode) or outcome.startswith("did"):
            title = f"`{shlex.join(words)}` {outcome} on {self.suite}"
            pytest.fail(failure.frame(output, title=title), pytrace=False)
        return subprocess.CompletedProcess(words, process.returncode, output)

    def _inside(
        self,
        words: Sequence[str],
        *,
        folder: str,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> list[str]:
        """
        The words that run a command in it. Nothing of the environment of the tests gets in.
        """
        names = {"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", **(environment or {})}
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        # nsenter's own --wd is looked up before it enters.
        command = f"cd {shlex.quote(folder)} && exec {shlex.join(words)}"
        enter = [*control_groups.inside(self._group), "nsenter", f"--target={self.leader}", "--all"]
        return [*enter, "env", "-i", *(f"{k}={v}" for k, v in names.items()), *become, "sh", "-c", command]

    def push(self, source: Path, destination: str, *, without: tuple[str, ...] = ()) -> None:
        """
        Copy a file, or what is in a folder, into it; root owns the copy.
        """
        target = self / destination
        if not source.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            return
        target.mkdir(parents=True, exist_ok=True)
        leave = [f"--exclude={name}" for name in without]
        with subprocess.Popen(["tar", "-c", *leave, "-C", str(source), "."], stdout=subprocess.PIPE) as packing:
            subprocess.run(["tar", "-x", "--no-same-owner", "-C", str(target)], stdin=packing.stdout, check=True)
        assert packing.returncode == 0

    # Its systemd

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """
        Properties of a unit, as systemd sees it now.
        """
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names)).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def is_active(self, unit: str) -> bool:
        return self.run("systemctl", "is-active", "--quiet", unit, check=False).returncode == 0

    def wait_active(self, unit: str, *, seconds: float = 30) -> None:
        __tracebackhide__ = True
        processes.wait_until(lambda: self.is_active(unit), seconds=seconds, what=f"{unit} active")

    def journal(self, *words: str) -> str:
        """
        The log since the boot, without the time; `words` are arguments of journalctl.
        """
        # That there is no such line is no error.
        return self.run("journalctl", "--boot", "--no-pager", "--quiet", "--output=cat", *words, check=False).stdout

    @contextlib.contextmanager
    def explained(self, pattern: str) -> Iterator[None]:
        """
        A failure within says what the units of a pattern have logged last.
        """
        try:
            yield
        except BaseException as error:
            lines = self.run("journalctl", "--no-pager", "--lines=60", f"--unit={pattern}", check=False).stdout
            error.add_note(failure.frame(lines, title=f"journal of {pattern}", lines=60))
            raise

    def processes_of(self, unit: str) -> list[int]:
        """
        The main process of a unit, then its children, oldest first; as the machine numbers them.
        """
        main = int(self.show(unit, "MainPID")["MainPID"])
        out = self.run("ps", "-A", "-o", "pid=,ppid=").stdout
        pairs = [tuple(map(int, line.split())) for line in out.splitlines()]
        return [main, *sorted(pid for pid, parent in pairs if parent == main)]

    def kill(self, number: Signals, *pids: int) -> None:
        self.run("kill", f"-{int(number)}", *map(str, pids))
