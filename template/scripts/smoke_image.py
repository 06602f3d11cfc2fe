"""
Ask the service some questions, and see that the answers are right.

`scripts/smoke-image` runs this in the container, with the port as its argument: nothing but the
standard library is sure to be there.
"""

import http.client
import json
import socket
import sys
from typing import Any

REQUEST_ID = "smoke-0123456789"


def main(port: int) -> None:
    """Ask at the address that others have to use: loopback would answer too if only that did."""
    address = socket.gethostbyname(socket.gethostname())

    status, _, body = ask(address, port, "/health")
    expect((status, body) == (200, {"status": "ok"}), f"/health says {status} {body}")
    status, _, body = ask(address, port, "/ready")
    expect((status, body["status"]) == (200, "ready"), f"/ready says {status} {body}")
    status, kind, body = ask(address, port, "/no/such/path")
    expect(
        (status, kind) == (404, "application/problem+json"), f"a missing page is {status} {kind}"
    )
    expect(body["request_id"] == REQUEST_ID, f"a problem lacks the id of its request: {body}")


def ask(address: str, port: int, path: str) -> tuple[int, str | None, dict[str, Any]]:
    """Send a request; return the status, the type and the content of the answer."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    connection.request("GET", path, headers={"X-Request-ID": REQUEST_ID})
    response = connection.getresponse()
    return response.status, response.headers["Content-Type"], json.load(response)


def expect(condition: bool, otherwise: str) -> None:
    """End with a reason unless a condition holds."""
    if not condition:
        sys.exit(otherwise)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.exit(f"no answer: {error!r}")
