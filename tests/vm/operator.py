"""
The operator's side: a project in git, and the artifacts that are made of it.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.project import Project
from tests.support.releases import UserProject, git

#: The release tool, as it is typed in a project's folder.
TOOL = ("python3", "deploy/release")


@dataclass
class Operator:
    """
    The person who deploys: a project in git, made into artifacts for one kind of machine.

    The first artifact is built by the tool itself, from an index. The others differ from it by an edit of the project, as the
    next commit does, and are packed here: the wheels are the same.
    """

    project: UserProject
    _first: Path | None = None
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
    def first(self) -> Path:
        assert self._first is not None, "nothing was built"
        return self._first

    def build(self, target: str) -> None:
        """
        Let `release build` make an artifact of the last commit, for a kind of machine.
        """
        self.project.run(*TOOL, "build", "--for", target, "--to", "dist")
        self._first = next((self.project / "dist").glob("*.tar.gz"))

    def edited(self, edits: Mapping[str, str]) -> tuple[str, Path]:
        """
        The release and the artifact of a commit that changes or adds files: path → text.
        """
        self._count += 1
        # In the order in which they are made, and after the first.
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + self._count))
        release = f"{stamp}-{self._count:07x}"
        destination = self.first.with_name(f"{self.slug}-{release}.tar.gz")
        with tarfile.open(self.first) as old, tarfile.open(destination, "w:gz", compresslevel=1) as new:
            manifest = json.loads(_content(old, "manifest.json"))
            # The manifest is what an artifact begins with.
            files = {"manifest.json": json.dumps(manifest | {"release": release}).encode()}
            files |= {f"tree/{name}": text.encode() for name, text in edits.items()}
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode, entry.mtime = len(content), 0o644, int(time.time())
                new.addfile(entry, io.BytesIO(content))
            for member in old:
                if member.name not in files:
                    new.addfile(member, old.extractfile(member) if member.isfile() else None)
        return release, destination


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, f"{name} is no file"
    return file.read()
