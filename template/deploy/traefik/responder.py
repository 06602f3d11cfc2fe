"""
The answers that Traefik cannot give: bodies of its own errors, and `/static/`.

Traefik asks here, on loopback, when it has to refuse a request itself (`/problem/<status>`), and
sends the requests for static files here. Standard library only: the service itself need not be
there for an error to be explained.

    responder.py PORT DIRECTORY               on loopback
    responder.py 0.0.0.0:PORT DIRECTORY       where it is a container of its own
"""

from __future__ import annotations

import json
import mimetypes
import os
import re
import secrets
import shutil
import sys
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

# Traefik closes an idle connection after 60 s; this side only later, so that none is cut in use.
KEEP_ALIVE_SECONDS = 75
# A body that nobody needs is read up to here.
DROPPED_BYTES = 1 << 16
# The contract of the service: 8 to 128 plain characters, or the id is replaced.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
# `app.3f2a9c1b.css`: another content has another name, so a browser never has to ask again.
HASHED = re.compile(r"\.[0-9a-f]{8,}\.[^.]+$")

# Type, title and detail, in the application's own words (app/core/problems.py).
PROBLEMS = {
    404: ("not-found", "Not Found", "There is nothing at this path."),
    408: ("request-timeout", "Request Timeout", "The body did not arrive in time."),
    429: ("too-many-requests", "Too Many Requests", "Too many requests from this address."),
    502: ("bad-gateway", "Bad Gateway", "The service did not answer."),
    503: ("unavailable", "Service Unavailable", "The service is not available right now."),
}
# Seconds after which trying again makes sense.
RETRY_AFTER = {429: "1", 502: "1", 503: "30"}


class Responder(BaseHTTPRequestHandler):
    """Answers one connection of Traefik."""

    protocol_version = "HTTP/1.1"
    timeout = KEEP_ALIVE_SECONDS
    directory: Path

    def do_GET(self) -> None:
        """Answer a problem or a file."""
        self.drop_body()
        target = urlsplit(self.path)
        if target.path.startswith("/static/"):
            self.answer_file(unquote(target.path[len("/static/") :]))
            return
        # `/problem/503?url=<the URL that the client asked for>`
        status = target.path.rpartition("/")[2]
        asked = parse_qs(target.query).get("url", [""])[0]
        self.answer_problem(int(status) if status.isdecimal() else 404, urlsplit(asked).path)

    do_HEAD = do_GET

    def drop_body(self) -> None:
        """
        Have nothing taken for the next request that belongs to this one.

        What is announced is read, so that the answer is not lost in a reset, but not for ever.
        """
        length = self.headers.get("Content-Length", "0")
        if length != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self.rfile.read(min(int(length), DROPPED_BYTES) if length.isdecimal() else 0)

    def answer_problem(self, status: int, instance: str) -> None:
        """Answer an error in the form that the service's own errors have."""
        request_id = self.request_id()
        kind, title, detail = PROBLEMS.get(status) or PROBLEMS[502]
        content = json.dumps(
            {
                "type": f"urn:problem-type:{kind}",
                "title": title,
                "status": status,
                "detail": detail,
                "instance": instance,
                "request_id": request_id,
            },
            separators=(",", ":"),
        ).encode()
        headers = {
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Request-ID": request_id,
        }
        if status in RETRY_AFTER:
            headers["Retry-After"] = RETRY_AFTER[status]
        self.begin(status, headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_file(self, name: str) -> None:
        """Answer a static file, or that the client has it already."""
        file = self.open_file(name)
        if file is None:
            self.answer_problem(404, urlsplit(self.path).path)
            return
        with file:
            about = os.fstat(file.fileno())
            tag = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
            age = "max-age=31536000, immutable" if HASHED.search(name) else "max-age=300"
            headers = {
                "ETag": tag,
                "Last-Modified": formatdate(about.st_mtime, usegmt=True),
                "Cache-Control": f"public, {age}",
                "X-Request-ID": self.request_id(),
            }
            # Traefik marks the tag of what it compressed as weak.
            if tag in self.headers.get("If-None-Match", ""):
                self.begin(HTTPStatus.NOT_MODIFIED, headers)
                return
            kind, encoding = mimetypes.guess_type(name)
            headers["Content-Type"] = kind or "application/octet-stream"
            if encoding:
                headers["Content-Type"] = "application/octet-stream"
            headers["Content-Length"] = str(about.st_size)
            self.begin(HTTPStatus.OK, headers)
            if self.command != "HEAD":
                shutil.copyfileobj(file, self.wfile)

    def open_file(self, name: str) -> BinaryIO | None:
        """Open a regular file below the directory; nothing that is hidden, nothing above."""
        if "\0" in name or any(part == "" or part.startswith(".") for part in name.split("/")):
            return None
        path = self.directory / name
        try:
            return path.open("rb") if path.is_file() else None
        except OSError:
            return None

    def request_id(self) -> str:
        """Return the client's id when it is well-formed, else a new one."""
        asked = self.headers.get("X-Request-ID", "")
        return asked if REQUEST_ID.fullmatch(asked) else secrets.token_hex(16)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of the answer."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: Traefik's access log has the line."""


class Server(ThreadingHTTPServer):
    """A thread per connection; Traefik keeps few."""

    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    """Serve until the unit is stopped."""
    place, directory = sys.argv[1:]
    address, _, port = place.rpartition(":")
    Responder.directory = Path(directory)
    Server((address or "127.0.0.1", int(port)), Responder).serve_forever()


if __name__ == "__main__":
    main()
