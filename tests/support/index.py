"""
Small packages made in a moment, and an index of them that asks for a password: nothing is fetched from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: A build backend of the standard library, in the source of its own package. It leaves a file there, as setuptools does.
BACKEND = """
import pathlib, sys, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    tag = TAG.replace("CP", "cp%d%d" % sys.version_info[:2])
    pathlib.Path("left-by-the-build").touch()
    with zipfile.ZipFile(pathlib.Path(folder, f"{NAME}-{VERSION}-{tag}.whl"), "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text.replace("TAG", tag))
    return f"{NAME}-{VERSION}-{tag}.whl"
"""


def files(name: str, version: str, text: str = "") -> dict[str, str]:
    """
    The content of a wheel: one module, with a text in it.
    """
    info = f"{name}-{version}.dist-info"
    return {
        f"{name}.py": f"TEXT = {text!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: TAG\n",
        f"{info}/RECORD": "",
    }


def wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any", text: str = "") -> Path:
    """
    Make a wheel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in files(name, version, text).items():
            archive.writestr(each, content.replace("TAG", tag))
    return path


def source(folder: Path, name: str, version: str, tag: str = "py3-none-any", text: str = "") -> Path:
    """
    Make the source of a package; in its tag CP is the Python that builds it.
    """
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    values = f"NAME, VERSION, TAG, FILES = {name!r}, {version!r}, {tag!r}, {files(name, version, text)!r}\n"
    (folder / "backend.py").write_text(values + BACKEND)
    return folder


def sdist(folder: Path, name: str, version: str, scratch: Path) -> Path:
    """
    Make a source distribution.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(source(scratch / f"{name}-{version}", name, version), arcname=f"{name}-{version}")
        content = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        entry = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return path


@contextmanager
def serve(folder: Path, user: str, password: str) -> Iterator[str]:
    """
    Serve the files of a folder as an index, to whom the password is known; the address is given without it.
    """
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def answer(self, *, body: bool) -> None:
            if self.headers["Authorization"] != expected:
                status, content = 401, b""
            elif self.path.startswith("/files/"):
                status, content = 200, (folder / Path(self.path).name).read_bytes()
            else:
                status, content = 200, page(folder, self.path.strip("/").rpartition("/")[2]).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
            self.send_header("Content-Length", str(len(content)))
            if status == 401:
                self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple/"
    finally:
        server.shutdown()
        server.server_close()


def page(folder: Path, name: str) -> str:
    """
    The page of a package.
    """
    found = [path for path in sorted(folder.iterdir()) if path.name.replace("_", "-").startswith(f"{name}-")]
    sums = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
    return "".join(f'<a href="/files/{path.name}#sha256={sums[path]}">{path.name}</a>\n' for path in found)
