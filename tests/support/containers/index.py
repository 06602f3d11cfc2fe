"""
A private index of packages: HTTPS by an authority that nobody knows, and a password for everything. Behind it is the public one.

    with Index(engine, folder) as index:
        engine.build(project, "some", *index.options.values())
    index.served("pip")

It stands in the engine's network, at the address where builds find their way out.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import ipaddress
import os
import re
import ssl
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx2

from tests.support.containers.base import certificates

if TYPE_CHECKING:
    from tests.support.containers.engine import Engine

PUBLIC = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")
USER = "reader"
HOST = "packages.internal"
#: Where a page says that a file is, on whatever host.
_ELSEWHERE = re.compile(rb'((?:href="|"url": ?"))https://')
_OPENSSL = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:{name}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """
        Nothing to say: a client that does not trust the authority hangs up.
        """


class Index:
    """
    Use as a context manager. `folder` keeps the secrets, each of which holds `password`, and the log.
    """

    def __init__(self, engine: Engine, folder: Path, password: str) -> None:
        self._folder = folder
        self._log = folder / "log"
        self._password = password
        self._closing = contextlib.ExitStack()
        # Of the bridge's own end: its first. (A new engine does not say so by itself yet.)
        subnet = engine.docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Subnet}}")
        self._address = str(ipaddress.ip_network(subnet.stdout.strip())[1])

    @property
    def options(self) -> dict[str, str]:
        """
        The options of a build: the secrets by their ids, and the address of the index.
        """
        names = ("ca", "netrc", "pip-conf", "uv-toml")
        secrets = {name: f"--secret=id={name},src={self._folder / name}" for name in names}
        return {**secrets, "host": f"--add-host={HOST}:{self._address}"}

    def served(self, agent: str) -> list[str]:
        """
        The files that a program has got, by path.
        """
        rows = [line.split(" ", 2) for line in self._log.read_text().splitlines()]
        return [path for status, who, path in rows if status == "200" and who == agent]

    def refused(self) -> int:
        """
        The number of requests that came without the password.
        """
        return self._log.read_text().count("401 ")

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.write_text("")
        self._certify()
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trusted.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        self._server = _Server((self._address, 0), self._handler())
        self._server.socket = trusted.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        url = f"https://{HOST}:{self._server.server_port}/simple"
        contents = {
            "netrc": f"machine {HOST} login {USER} password {self._password}\n",
            "pip-conf": f"# {self._password}\n[global]\nindex-url = {url}\n",
            "uv-toml": f'# {self._password}\n[[index]]\nurl = "{url}"\ndefault = true\n',
            "ca": f"# {self._password}\n{(self._folder / 'authority.pem').read_text()}",
        }
        for name, text in contents.items():
            (self._folder / name).write_text(text)
        # Of this thread it has the network, too.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._closing.close()

    def _certify(self) -> None:
        """
        An authority, and a certificate of it for the address.
        """
        (self._folder / "openssl.cnf").write_text(_OPENSSL.format(name=HOST))
        new: tuple[str, ...] = ("openssl", "req", "-x509", "-config", "openssl.cnf", "-days", "2", "-nodes")
        new += ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        signed = ("-CA", "authority.pem", "-CAkey", "authority.key", "-subj", "/CN=server")
        for name, options in (("authority", ()), ("server", signed)):
            words = [*new, "-extensions", name, "-keyout", f"{name}.key", "-out", f"{name}.pem", *options]
            subprocess.run(words, cwd=self._folder, capture_output=True, check=True)

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        expected = "Basic " + base64.b64encode(f"{USER}:{self._password}".encode()).decode()
        authorities = ssl.create_default_context(cafile=str(certificates()))
        public = httpx2.Client(verify=authorities, follow_redirects=True, timeout=60)
        self._closing.callback(public.close)
        log, guard = self._log, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            # Head and body of an answer leave together.
            wbufsize = -1

            def do_GET(self) -> None:
                if self.headers.get("Authorization") != expected:
                    self.answer(401, {"WWW-Authenticate": 'Basic realm="index"'}, b"")
                    return
                host, _, rest = self.path.removeprefix("/files/").partition("/")
                is_file = self.path.startswith("/files/")
                url = f"https://{host}/{rest}" if is_file else PUBLIC + self.path.removeprefix("/simple")
                headers = {"Accept": self.headers.get("Accept", "*/*")}
                found = public.get(url, headers=headers)
                body = found.content if is_file else _ELSEWHERE.sub(rb"\1/files/", found.content)
                self.answer(found.status_code, {"Content-Type": found.headers["Content-Type"]}, body)

            def do_HEAD(self) -> None:
                # A simple server: whoever wants a part of a file gets all of it.
                self.answer(405, {}, b"")

            def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                with guard, log.open("a") as file:
                    file.write(f"{status} {self.headers.get('User-Agent', '').partition('/')[0]} {self.path}\n")
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *values: object) -> None:
                pass

        return Handler
