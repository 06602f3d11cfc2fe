"""
The process that keeps an engine: starts it, waits until nobody uses it any more, ends it, and clears up.

    python -m tests.support.containers.engine_process NAME PLACE DATA

When this process is killed the engine ends as well, with its containers; the next start clears up what that has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.support import control_groups, processes

T = TypeVar("T")

#: What libslirp gives a network by itself: the address that answers questions about names, by the host's own resolver.
RESOLVER = "10.0.2.3"
#: Whatever this process dies of.
_DIE_WITH_ME = ("setpriv", "--pdeathsig", "KILL")
_UNSHARE = [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
]

# The engine's first process. $1 is the control group, $2 the socket, $3 the folder for data, $4 the settings. Sockets of containerd and locks
# lie in /run: they are its own.
_INSIDE = f"""
set -e
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/engine
ip link set lo up
read -r connected
# Who talks from in here finds a resolver of the host that listens on loopback.
echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
iptables -t nat -A OUTPUT -d 127.0.0.0/8 -p udp --dport 53 -j DNAT --to-destination {RESOLVER}
iptables -t nat -A POSTROUTING -s 127.0.0.0/8 -o tap0 -j MASQUERADE
# Where packages put the one that they bring along differs.
init=$(command -v docker-init || command -v tini || command -v tini-static)
exec "$init" -s -- dockerd --config-file "$4" --host "unix://$2" --data-root "$3" --exec-root /run/engine \\
    --pidfile /run/engine.pid --cgroup-parent "/$1" --exec-opt native.cgroupdriver=cgroupfs --dns {RESOLVER} </dev/null
"""
#: Layers of builds are kept up to this size; a run of the tier needs about a third.
_SETTINGS = {"builder": {"gc": {"enabled": True, "defaultKeepStorage": "6GB"}}}


def main(name: str, place: Path, data: Path) -> None:
    # Never closed: it is held as long as this process is there.
    alive = os.open(place / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    with (place / "users").open("r+") as users:
        control_groups.remove(name)
        (place / "docker.sock").unlink(missing_ok=True)
        data.mkdir(parents=True, exist_ok=True)
        settings = place / "daemon.json"
        settings.write_text(json.dumps(_SETTINGS))
        with contextlib.ExitStack() as closing:
            closing.callback(control_groups.remove, name)
            try:
                start(name, place, data / "data", settings, closing)
            except BaseException:
                (place / "state").write_text("failed")
                raise
            (place / "state").write_text("ready")
            fcntl.flock(users, fcntl.LOCK_EX)
        (place / "state").unlink()


def start(name: str, place: Path, data: Path, settings: Path, closing: contextlib.ExitStack) -> None:
    """
    Start the engine and its network; returns when it answers.
    """
    inside = ["sh", "-c", _INSIDE, "engine", name, str(place / "docker.sock"), str(data), str(settings)]
    engine = subprocess.Popen([*_DIE_WITH_ME, *_UNSHARE, *inside], stdin=subprocess.PIPE)
    closing.callback(end, engine, place)
    (first, *_) = _wait(lambda: processes.children(engine.pid), engine, 10, "namespaces")
    (place / "pid").write_text(str(first))

    reading, writing = os.pipe()
    options = ["--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={writing}"]
    relay = subprocess.Popen(
        [*_DIE_WITH_ME, "slirp4netns", *options, str(first), "tap0"], stdin=subprocess.DEVNULL, pass_fds=[writing]
    )
    os.close(writing)
    closing.callback(relay.wait, 10)
    closing.callback(relay.kill)
    with os.fdopen(reading, "rb") as ready:
        if not ready.read(1):
            raise RuntimeError("slirp4netns gave no network")
    assert engine.stdin
    engine.stdin.write(b"connected\n")
    engine.stdin.close()
    _wait(lambda: _answers(place / "docker.sock"), engine, 60, "an engine that answers")


def end(engine: subprocess.Popen[bytes], place: Path) -> None:
    """
    End it in order if that is quick; in any case.
    """
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((place / "pid").read_text()), signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        engine.wait(20)
    engine.kill()
    engine.wait(10)
    for leftover in ("pid", "docker.sock"):
        (place / leftover).unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    connection = http.client.HTTPConnection("localhost")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection.sock:
        try:
            connection.sock.connect(str(path))
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except OSError:
            return False


def _wait(found: Callable[[], T], engine: subprocess.Popen[bytes], seconds: float, what: str) -> T:
    """
    Wait until something is true; what it is. Not longer than the engine is there.
    """
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if engine.poll() is not None:
            raise RuntimeError(f"it ended with {engine.returncode} before there was {what}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return value


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
