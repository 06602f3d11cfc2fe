"""
Messages to systemd (sd_notify(3), on the standard library), and the pings of its watchdog.

gunicorn sends READY=1 before any worker exists, so that `systemctl start` succeeds for a service
that cannot even be imported. We take the address out of its sight and send the truth ourselves.
The last worker to serve is the one who knows it, therefore the unit needs `NotifyAccess=all`.

The ping means that the service works. It is sent by the master, from its own loop, right after
gunicorn has looked at the heartbeats of the workers. It proves that the process which replaces
broken workers does its rounds, and that no worker is broken now. (A ping by the workers would go on
while the master hangs. A thread in the master would go on while its loop hangs, and forking a
process that has threads is unsafe.)

WatchdogSec= has to be longer than HEARTBEAT_SECONDS plus the start of a worker: that is how long
gunicorn needs to notice and replace one, all without a ping. The unit is written for the default;
where HEARTBEAT_SECONDS was raised, systemd is asked for as much more.
"""

import contextlib
import os
import socket
import time
from typing import Any, Protocol

from serving.environment import Environment

# HEARTBEAT_SECONDS, as gunicorn.conf.py and the unit have it.
DEFAULT_HEARTBEAT_SECONDS = 30

_address: str | None = None


def take_over() -> None:
    """
    Take NOTIFY_SOCKET out of the environment and keep it for `notify`.

    Safe to call again: gunicorn executes its configuration file anew on a HUP, when the variable is
    already gone, and what was found first stays.
    """
    global _address
    _address = os.environ.pop("NOTIFY_SOCKET", None) or _address


def notify(*assignments: str) -> None:
    """
    Send assignments such as `READY=1`; without systemd nothing happens.

    A message that cannot be delivered is dropped: a service must not fail because its supervisor is
    not listening, and systemd notices by itself that nothing arrives.
    """
    if _address is None:
        return
    # A leading "@" stands for the zero byte of Linux' abstract namespace.
    address = "\0" + _address[1:] if _address.startswith("@") else _address
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        # The master must never wait for the reader of a full queue.
        channel.setblocking(False)
        channel.sendto("\n".join(assignments).encode(), address)


class Heartbeat(Protocol):
    """The file whose time a worker sets once a second."""

    def last_update(self) -> float:
        """Return the time on the monotonic clock; of a worker that still boots, by the calendar."""


class Watchdog:
    """Pings systemd as often as it wants, while all is well."""

    def __init__(self, microseconds: int, heartbeat_seconds: float) -> None:
        """
        Create a watchdog that systemd expects to hear from every `microseconds`.

        A worker counts as broken a little before gunicorn kills it, so that the ping pauses for
        as long as the replacement takes.
        """
        # systemd advises half of its time; once more, as gunicorn's rounds take a second.
        self._interval = microseconds / 1e6 / 4
        self._silence = heartbeat_seconds * 0.75
        self._next = 0.0

    @classmethod
    def wanted(cls, environ: Environment, heartbeat_seconds: float) -> "Watchdog | None":
        """Create one if systemd asked this process for it (WATCHDOG_USEC, WATCHDOG_PID)."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        if not microseconds.isdigit() or not int(microseconds):
            return None
        if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        if heartbeat_seconds > DEFAULT_HEARTBEAT_SECONDS:
            more = int((heartbeat_seconds - DEFAULT_HEARTBEAT_SECONDS) * 1e6)
            notify(f"WATCHDOG_USEC={int(microseconds) + more}")
        return cls(int(microseconds), heartbeat_seconds)

    def check(self, arbiter: Any) -> None:
        """Ping if it is time, all workers are there, and each is alive."""
        now = time.monotonic()
        if now < self._next:
            return
        workers = list(arbiter.WORKERS.values())
        if len(workers) < arbiter.num_workers:
            return
        if all(self._is_alive(worker.tmp) for worker in workers):
            self._next = now + self._interval
            notify("WATCHDOG=1")

    def _is_alive(self, heartbeat: Heartbeat) -> bool:
        try:
            beat = heartbeat.last_update()
        except (OSError, ValueError):
            return False
        # Before the first beat the file has the time of its creation, by the calendar: far in the
        # future of the other clock. A worker may boot for as long as it may be silent.
        age = time.monotonic() - beat
        return (age if age >= 0 else time.time() - beat) <= self._silence
