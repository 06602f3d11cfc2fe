"""
The template with its published states, and services that were rendered from them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.projects import Projects
from tests.support.published import STATES, TODAY, State
from tests.support.releases import Template, UserProject, git
from tests.support.variants import Variant


class History(Template):
    """
    A clean clone that has a version for each published state, and the working tree as the newest.
    """

    def __init__(self, source: Path, folder: Path) -> None:
        self.path = folder / "template"
        self._folder = folder
        self._started: dict[tuple[str, str], UserProject] = {}
        self.path.mkdir(parents=True)
        git(self.path, "init", "-q")
        for state in STATES:
            self._empty()
            state.unpack(self.path)
            self.release(state.tag)
        self._empty()
        shutil.copytree(source, self.path, symlinks=True, dirs_exist_ok=True)
        self.release(TODAY)

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            if entry.name != ".git":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def start(self, state: State, name: str, answers: dict[str, Any], destination: Path) -> UserProject:
        """
        A service as it was rendered from a state, committed. Each is rendered once and copied.
        """
        key = (state.commit, name)
        if key not in self._started:
            self._started[key] = self.copy(self._folder / f"{state}-{name}", state.tag, **answers)
        shutil.copytree(self._started[key].path, destination, symlinks=True)
        return UserProject(destination, Variant(f"{state}-{name}", answers))


@pytest.fixture(scope="session")
def history(projects: Projects, tmp_path_factory: pytest.TempPathFactory) -> History:
    """
    One for all tests of a worker: read only.
    """
    return History(projects.source, tmp_path_factory.mktemp("history"))
