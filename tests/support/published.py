"""
The published states: commits of this repository that services were rendered from, read from its history.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.questions import ROOT

SOURCES = ("copier.yml", "features", "template")


@dataclass(frozen=True)
class State:
    """
    One of them: `tag` is the version that it has in the tests' own copy of the template.
    """

    commit: str
    tag: str

    def __str__(self) -> str:
        return self.commit

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """
        The files of it, by path.
        """
        with self._archive() as archive:
            return {entry.name: _content(archive, entry) for entry in archive if not entry.isdir()}

    @cached_property
    def paths(self) -> frozenset[str]:
        """
        The paths of the files that it may render, whatever the answers are.
        """
        return rendered(name.removeprefix("template/") for name in self.files if name.startswith("template/"))

    @cached_property
    def questions(self) -> Mapping[str, Mapping[str, Any]]:
        """
        The questions that it asked or answered itself, and so the answers that its services may have stored.
        """
        found = {}
        for path in re.findall(r"^!include (features/\S+)$", self.files["copier.yml"].decode(), re.M):
            for name, spec in yaml.safe_load(self.files[path]).items():
                if not name.startswith("_"):
                    found[name] = spec
        return found

    @property
    def asked(self) -> Mapping[str, Mapping[str, Any]]:
        return {name: spec for name, spec in self.questions.items() if spec.get("when", True) is not False}

    def unpack(self, folder: Path) -> None:
        """
        Write it down, with symbolic links and permissions.
        """
        with self._archive() as archive:
            archive.extractall(folder, filter="tar")

    def _archive(self) -> tarfile.TarFile:
        return tarfile.open(fileobj=io.BytesIO(_git("archive", self.commit, *SOURCES)))


#: Once rendered, a service is updated from here for ever: states are added, never taken away.
STATES = (State("98325d4", "v0.0.1"), State("21037e2", "v0.0.2"), State("2e535d6", "v0.0.3"))
#: The version of the working tree.
TODAY = "v0.1.0"


def rendered(names: Any) -> frozenset[str]:
    """
    The paths that files of the template have in a service.
    """
    return frozenset(
        ".copier-answers.yml" if name.startswith("{{") else name.removesuffix(".jinja") for name in map(str, names)
    )


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    if entry.issym():
        return entry.linkname.encode()
    file = archive.extractfile(entry)
    assert file
    return file.read()


@cache
def _git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.fail(
            f"git {' '.join(words)}: {done.stderr.decode().strip()}\n"
            "The published states are read from the history, which this clone has not (all) got. "
            "To get it: git fetch --unshallow. In GitHub's actions/checkout: fetch-depth: 0",
            pytrace=False,
        )
    return done.stdout
