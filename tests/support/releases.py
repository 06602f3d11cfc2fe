"""
The template as a user's Copier sees it: a git repository with tags; and a user's project made from one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import copier
import yaml

from tests.support.project import Project
from tests.support.projects import quickly
from tests.support.variants import Variant

_IDENTITY = {
    "GIT_AUTHOR_NAME": "somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.com",
    "GIT_COMMITTER_NAME": "somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.com",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(folder: Path, *words: str) -> str:
    """
    Run git in a folder, as somebody, and return what it said.
    """
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "core.autocrlf=false", *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin", "HOME": str(folder), **_IDENTITY},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"git {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


class Template:
    """
    A clean clone of the working tree, to be changed and released at will.
    """

    def __init__(self, source: Path, path: Path) -> None:
        shutil.copytree(source, path, symlinks=True)
        self.path = path
        git(path, "init", "-q")
        self.release("v0.0.1")

    def release(self, tag: str) -> None:
        """
        Commit everything and tag it.
        """
        git(self.path, "add", "-A", "-f")
        git(self.path, "commit", "-q", "--allow-empty", "-m", tag)
        git(self.path, "tag", tag)

    def edit(self, name: str, old: str, new: str) -> None:
        """
        Replace a text that occurs once.
        """
        edit(self.path / name, old, new)

    def copy(self, destination: Path, tag: str = "v0.0.1", **answers: Any) -> UserProject:
        """
        Do what a user does: `copier copy`, and the closing message's `git commit`.
        """
        with quickly():
            copier.run_copy(
                str(self.path), destination, data=answers, vcs_ref=tag, defaults=True, quiet=True, unsafe=False
            )
        git(destination, "init", "-q")
        project = UserProject(destination, Variant("updated", answers))
        project.commit("start")
        return project


class UserProject(Project):
    """
    A project in git, as a user keeps it.
    """

    def commit(self, message: str) -> None:
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "--allow-empty", "-m", message)

    def edit(self, name: str, old: str, new: str) -> None:
        edit(self.path / name, old, new)

    def update(self, tag: str, **answers: Any) -> None:
        """
        Run `copier update`, without trust and without prompts.
        """
        self.commit("before the update")
        with quickly():
            copier.run_update(
                self.path, data=answers, vcs_ref=tag, defaults=True, overwrite=True, quiet=True, unsafe=False
            )

    @property
    def answers(self) -> Mapping[str, Any]:
        """
        The answers that are stored.
        """
        stored: Mapping[str, Any] = yaml.safe_load(self.read(".copier-answers.yml"))
        return stored

    def conflicts(self) -> list[str]:
        """
        The files that hold a conflict marker, or are one.
        """
        return [
            name
            for name in self.tree()
            if name.endswith(".rej") or re.search(r"^(<<<<<<<|>>>>>>>) ", self.read(name), re.M)
        ]

    def changed(self) -> list[str]:
        """
        The files that differ from the last commit.
        """
        return [line[3:] for line in git(self.path, "status", "--porcelain", "-uall").splitlines()]


def edit(path: Path, old: str, new: str) -> None:
    """
    Replace a text that occurs once in a file.
    """
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")
