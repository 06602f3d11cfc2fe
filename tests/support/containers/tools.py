"""
Programs of a newer Debian than this machine may have, unpacked beside it: Compose 2, kubectl.

apt fetches them, with directories of its own, so that signatures are checked and nothing of the machine changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.support import failure
from tests.support.locks import locked
from tests.support.project import CACHE
from tests.support.rootfs import MIRROR

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@cache
def compose() -> Path:
    """
    Compose 2, a plug-in of the client. Any machine runs it: it needs a C library only.
    """
    return _unpack("trixie", "docker-compose") / "usr/libexec/docker/cli-plugins/docker-compose"


@cache
def kubectl() -> Path:
    """
    kubectl, with its kustomize.
    """
    return _unpack("trixie", "kubectl") / "usr/bin/kubectl"


def _unpack(suite: str, package: str) -> Path:
    """
    A package's files; fetched now when they are not there. Skips, naming what is missing.
    """
    folder = CACHE / "packages" / f"{suite}-{package}"
    with locked(folder.with_suffix(".guard")):
        if not folder.exists():
            absent = [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]
            if absent or not KEYRING.exists():
                pytest.skip(f"{', '.join(absent) or KEYRING} missing: {package} of Debian {suite} cannot be unpacked")
            _fetch(suite, package, folder)
    return folder


def _fetch(suite: str, package: str, folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    lists = CACHE / "packages" / f"apt-{suite}"
    for name in ("lists/partial", "archives/partial", "etc"):
        (lists / name).mkdir(parents=True, exist_ok=True)
    (lists / "status").touch()
    (lists / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
    options = [
        f"-oDir::State={lists}",
        f"-oDir::State::lists={lists}/lists",
        f"-oDir::State::status={lists}/status",
        f"-oDir::Cache={lists}",
        f"-oDir::Etc={lists}/etc",
        f"-oDir::Etc::sourcelist={lists}/sources.list",
        "-oAcquire::Languages=none",
        # As root apt would give this to a user who cannot come here.
        "-oAPT::Sandbox::User=root",
    ]
    unfinished.mkdir()
    with locked(lists / "guard"):
        if not (lists / "fresh").exists():
            _run(["apt-get", *options, "-qq", "update"], unfinished)
            (lists / "fresh").touch()
        _run(["apt-get", *options, "-qq", "download", package], unfinished)
    (archive,) = unfinished.glob("*.deb")
    _run(["dpkg-deb", "--extract", str(archive), "."], unfinished)
    archive.unlink()
    unfinished.rename(folder)


def _run(words: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    if done.returncode:
        pytest.fail(failure.frame(done.stdout, title=" ".join(words)), pytrace=False)
