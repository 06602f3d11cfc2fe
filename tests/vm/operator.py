"""
The operator's side: a project in git, and the releases that are built from it.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.project import Project
from tests.support.releases import UserProject, git


@dataclass(frozen=True)
class Release:
    """
    A release in a file, as deploy/build makes it.
    """

    name: str
    file: Path

    @classmethod
    def in_file(cls, file: Path) -> Release:
        with tarfile.open(file) as archive:
            facts = archive.extractfile("./release.json")
            assert facts is not None, f"{file} holds no release.json"
            return cls(json.load(facts)["name"], file)


@dataclass(frozen=True)
class Link:
    """
    A symbolic link among the files of a commit, with what it says.
    """

    to: str


@dataclass
class Operator:
    """
    The person who deploys: a project in git, made into releases for one kind of machine.

    The first is built by deploy/build, from an index. The others differ from it by an edit of the project, as the next
    commit does, and are packed here: the packages are the same.
    """

    project: UserProject
    _first: Release | None = None
    _target: Mapping[str, str] = field(default_factory=dict)
    _count: int = 0

    @classmethod
    def of(cls, project: Project, folder: Path) -> Operator:
        """
        Take a rendered project into git.
        """
        copy = project.copy(folder)
        git(copy.path, "init", "-q")
        own = UserProject(copy.path, project.variant, environment=project.venv)
        own.commit("start")
        return cls(own)

    @property
    def slug(self) -> str:
        return str(self.project.facts["project_slug"])

    @property
    def first(self) -> Release:
        assert self._first is not None, "nothing was built"
        return self._first

    def build(self, python: str, machine: str) -> None:
        """
        Let deploy/build make a release of the last commit, for a kind of machine.
        """
        self.project.run("deploy/build", python, machine)
        self._target = {"python": python, "machine": machine}
        (file,) = (self.project / "dist").glob("*.tar.gz")
        self._first = Release.in_file(file)
        self._beginning.write_bytes(_without_end(file))

    @property
    def _beginning(self) -> Path:
        return self.first.file.with_suffix(".beginning")

    def edited(self, edits: Mapping[str, str] | Mapping[str, str | Link]) -> Release:
        """
        The release of a commit that changes or adds files: path → text, or link.
        """
        self._count += 1
        # In the order in which they are made, and after the first.
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{stamp}-{self._count:07x}"
        facts = {"name": name, "slug": self.slug, **self._target}
        changed: dict[str, str | Link] = {"release.json": json.dumps(facts), **edits}
        file = self.first.file.with_name(f"{name}.tar.gz")
        # What comes later replaces what came before: in an archive, and so in one that was compressed in two parts.
        file.write_bytes(self._beginning.read_bytes() + gzip.compress(_archive(changed), compresslevel=1))
        return Release(name, file)


def _without_end(file: Path) -> bytes:
    """
    A compressed archive that can be gone on with.
    """
    content = gzip.decompress(file.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.getmembers()
        return gzip.compress(content[: archive.offset], compresslevel=1)


def _archive(files: Mapping[str, str | Link]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.mode, entry.mtime = 0o644, int(time.time())
            text = "" if isinstance(content, Link) else content
            if isinstance(content, Link):
                entry.type, entry.linkname = tarfile.SYMTYPE, content.to
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
