"""
Images of rendered projects, built by their own Dockerfile, unchanged; and containers of them, restricted as in production.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import httpx2

from tests.support.containers.container import Container
from tests.support.containers.engine import Engine
from tests.support.containers.index import Index
from tests.support.locks import locked
from tests.support.processes import wait_until
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, named, of

DEFAULT = named("default")
#: Nothing but the image: minimal itself has none.
MINIMAL = Variant("minimal-image", {**named("minimal").answers, "targets": ["image"]})
SQLITE = of(database="sqlite", proxy="none")
VARIANTS = (DEFAULT, MINIMAL, named("maximal"), SQLITE)

#: What is secret, and where people leave it.
SECRET = "a-secret-that-is-in-no-layer"
LYING_AROUND = (
    *(".env", ".env.production", "id_ed25519", ".git/config", "dist/service.pyz", "var/development.db", "notes/app.py"),
    *(
        "app/.env",
        "app/items/.env.local",
        "serving/.env",
        "deploy/compose/secrets/DATABASE_URL",
        "tests/app/dump.sql",
    ),
)

#: As a platform starts it that gives every service a user of its own, whom nobody knows.
SOMEBODY = "54321:0"
RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=256")

#: Gives the image of a variant.
Images: TypeAlias = Callable[[Variant], "Image"]


@dataclass(frozen=True)
class Image:
    """
    An image, and the project it was built from.
    """

    engine: Engine
    project: Project
    tag: str
    #: Where its packages come from, unless that is where everybody's do.
    index: Index | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.project.facts

    @cached_property
    def config(self) -> dict[str, Any]:
        (found,) = json.loads(self.engine.docker("image", "inspect", self.tag).stdout)
        return dict(found["Config"])

    def layers(self, tag: str | None = None) -> list[str]:
        """
        The digests of its layers, or of another image's.
        """
        found = self.engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", tag or self.tag)
        return list(json.loads(found.stdout))

    def __str__(self) -> str:
        return self.tag


def prepare(project: Project, folder: Path) -> Project:
    """
    A copy as it may lie on a computer: secrets in it, and readable by its owner only.
    """
    copy = project.copy(folder)
    for name in LYING_AROUND:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(f"{SECRET}\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    return copy


def build(engine: Engine, projects: Projects, variant: Variant, folder: Path) -> Image:
    """
    The image of a variant, built by its own Dockerfile. Once, also when several workers ask for it: the folder is theirs.
    """
    place, tag = folder / variant.id, f"image-{variant.id}"
    with locked(folder / f"{variant.id}.guard"):
        stamp = place / "built"
        # Of this engine: what another one had is gone.
        is_built = stamp.exists() and stamp.read_text() == str(engine.daemon.pid)
        if not is_built:
            shutil.rmtree(place, ignore_errors=True)
            prepare(projects.render(variant).sync(), place / "work")
        project = Project(place / "work", variant)
        index = Index(engine, place / "index", SECRET) if variant == MINIMAL else None
        if not is_built:
            if index:
                # A service that has not been locked yet, from a private index. Not from the cache, which would ask nobody.
                (project / "uv.lock").unlink()
                with index:
                    engine.build(project, tag, "--no-cache", *index.options.values(), VERSION="1.2.3")
            else:
                engine.build(project, tag, VERSION="1.2.3")
            stamp.write_text(str(engine.daemon.pid))
    return Image(engine, project, tag, index)


@contextlib.contextmanager
def unpacked(image: Image, archive: Path) -> Iterator[dict[str, tuple[tarfile.TarInfo, bytes]]]:
    """
    The content of its own layers, those above the base: path → what it is, and its first bytes. The archive is there meanwhile.
    """
    image.engine.docker("save", "--output", archive, image.tag)
    base = len(image.layers(f"python:{image.project.facts['python']}-slim"))
    found = {}
    try:
        with tarfile.open(archive) as outer:
            manifest = outer.extractfile("manifest.json")
            assert manifest
            for name in json.load(manifest)[0]["Layers"][base:]:
                with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                    for member in layer:
                        file = layer.extractfile(member) if member.isfile() else None
                        found[member.name] = (member, file.read(16) if file else b"")
        yield found
    finally:
        archive.unlink()


@dataclass(frozen=True)
class Running:
    """
    A container that serves, and a way to talk to it.
    """

    image: Image
    container: Container
    client: httpx2.Client

    @property
    def address(self) -> str:
        return f"{self.container.address}:8000"

    def alone(self, path: str, body: bytes | None = None) -> int:
        """
        Ask on a connection of its own, by POST if there is something to say; the status.
        """
        with contextlib.closing(http.client.HTTPConnection(self.address, timeout=30)) as connection:
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request("POST" if body else "GET", path, body, headers)
            return connection.getresponse().status

    def processes(self) -> dict[int, tuple[str, str, int]]:
        """
        Its processes as itself sees them: process id → name, state, parent.
        """
        lines = "import glob;[print(open(f).read()) for f in glob.glob('/proc/[0-9]*/stat')]"
        found = {}
        for line in self.container.exec("python", "-c", lines).stdout.split("\n"):
            if line:
                pid, rest = line.split(" (", 1)
                name, fields = rest.rsplit(") ", 1)
                state, parent = fields.split()[:2]
                found[int(pid)] = (name, state, int(parent))
        return found

    def workers(self) -> list[int]:
        return sorted(pid for pid, (name, _, parent) in self.processes().items() if parent == 1 and name == "gunicorn")


@contextlib.contextmanager
def running(image: Image, *options: str, ready: int = 200) -> Iterator[Running]:
    """
    Start it by its own command and wait until /ready answers with a status.
    """
    with (
        image.engine.container(image.tag, *RESTRICTED, *options) as container,
        httpx2.Client(base_url=f"http://{container.address}:8000", timeout=30) as client,
    ):
        service = Running(image, container, client)

        def is_ready() -> bool:
            assert container.state["Running"], "it ended by itself"
            with contextlib.suppress(OSError, http.client.HTTPException):
                return service.alone("/ready") == ready
            return False

        wait_until(is_ready, seconds=60, what=f"/ready of {image} says {ready}")
        yield service
