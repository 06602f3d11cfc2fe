"""
Run a command to its end together with all that it starts, and report what it cost.

    python3 scripts/supervise.py REPORT COMMAND …

What a command leaves behind, such as a server in a session of its own or a container, becomes a child of this process
on Linux. So its CPU is counted too, and nothing outlives a command that is interrupted: INT and TERM are passed on once;
what has not ended some time later is killed. REPORT is JSON: the exit code and the seconds of CPU.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: For fixtures to stop machines and engines, after an interrupt.
GRACE_SECONDS = 30


def adopt() -> None:
    """
    Have what descendants leave behind become children of this process, and end with the one that started it: on Linux.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def descendants() -> list[int]:
    """
    Every living process below this one.
    """
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True) as listing:
        rows = (map(int, line.split()) for line in listing.communicate()[0].splitlines())
    parents = {pid: parent for pid, parent in rows if pid != listing.pid}
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def kill_descendants() -> None:
    """
    End what is below this process, until nothing is.
    """
    while pids := descendants():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Those whose parent has gone are ours to wait for: their CPU counts from then on.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        time.sleep(0.05)


def main(report: str, command: list[str]) -> int:
    """
    Run it; the exit code is the command's.
    """
    adopt()
    process = subprocess.Popen(command, start_new_session=True)
    deadline: list[float] = []

    def interrupt(number: int, frame: object) -> None:
        if not deadline:
            deadline.append(time.monotonic() + GRACE_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    while process.returncode is None:
        # Orphans as well, at once: the first process of a namespace cannot end before the last of it is waited for, so a
        # machine would never reboot.
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
        elif not pid:
            if deadline and time.monotonic() > deadline[0]:
                process.returncode = 128 + signal.SIGKILL
            time.sleep(0.05)
    code = process.returncode
    kill_descendants()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(report).write_text(json.dumps({"code": code, "cpu": used.ru_utime + used.ru_stime}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
