"""
Ask the server of this container whether it is ready: `python -m serving.healthcheck`.

For a HEALTHCHECK: the image has no curl, and needs none. Exit code 0 if `/ready` answers 200, and 1
with the reason for anything else; the container engine shows what was said.
"""

import os
import socket
import sys
from contextlib import suppress

from serving import listener
from serving.environment import Environment

# More than a check of the application may take (READY_CHECK_SECONDS is 2), less than the 5 s that
# the image allows.
PATIENCE_SECONDS = 4.0
# Of an answer that is longer, the end says nothing more.
MOST_BYTES = 64 * 1024

# 1.0, so that the connection ends with the answer.
_REQUEST = b"GET /ready HTTP/1.0\r\nHost: localhost\r\n\r\n"


def connect(environ: Environment) -> socket.socket:
    """Connect to the first address of BIND; where that is every interface, on loopback."""
    address = listener.bind(environ)[0]
    if address.startswith("fd://"):
        raise OSError(f"BIND={address} cannot be connected to")
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(address.removeprefix("unix:"))
        return connection
    host, _, port = address.rpartition(":")
    if host == "[::]":
        # It serves IPv4 too, and a container may have nothing else.
        with suppress(OSError):
            return socket.create_connection(("::1", int(port)), PATIENCE_SECONDS)
    host = "127.0.0.1" if host in ("", "0.0.0.0", "[::]") else host.strip("[]")
    return socket.create_connection((host, int(port)), PATIENCE_SECONDS)


def ask(environ: Environment) -> tuple[int, str]:
    """Return the status of `/ready` and the body of the answer."""
    # By hand, because it is done every few seconds: http.client would take twice as long to import.
    with connect(environ) as connection:
        connection.sendall(_REQUEST)
        answer = b""
        while len(answer) < MOST_BYTES and (part := connection.recv(4096)):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[1].isdigit():
        raise OSError("an answer that is not HTTP")
    return int(words[1]), body.decode(errors="replace")


def main() -> int:
    """Print what was answered; return the exit code."""
    try:
        status, body = ask(os.environ)
    except OSError as error:
        print(f"no answer: {error}")
        return 1
    print(f"{status} {body}")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
