"""
Messages to systemd: sd_notify(3), on the standard library.

gunicorn sends READY=1 before any worker exists, so that `systemctl start` succeeds for a service
that cannot even be imported. We take the address out of its sight and send the truth ourselves.
The last worker to serve is the one who knows it, therefore the unit needs `NotifyAccess=all`.
"""

import contextlib
import os
import socket

_address: str | None = None


def take_over() -> None:
    """
    Take NOTIFY_SOCKET out of the environment and keep it for `send`.

    Safe to call again: gunicorn executes its configuration file anew on a HUP, when the variable is
    already gone, and what was found first stays.
    """
    global _address
    _address = os.environ.pop("NOTIFY_SOCKET", None) or _address


def send(*assignments: str) -> None:
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
