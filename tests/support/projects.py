"""
Renders the working tree: every variant once per test run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any
from unittest import mock

import copier
import jinja2

from tests.support import questions
from tests.support.locks import locked
from tests.support.project import LITTER, Project
from tests.support.variants import Variant

SOURCES = ("copier.yml", "features", "template")


class Projects:
    """
    Renders variants, each once per test run, also when several workers ask for the same one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rendered: dict[str, Project] = {}

    @property
    def source(self) -> Path:
        """
        A plain copy of the template as it lies in the working tree: no git, so never an older tag.
        """
        source = self._folder / "source"
        with locked(self._folder / "source.guard"):
            if not source.exists():
                unfinished = self._folder / "source.unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir(parents=True)
                for name in SOURCES:
                    origin = questions.ROOT / name
                    if origin.is_dir():
                        litter = shutil.ignore_patterns(*LITTER, "*.pyc")
                        shutil.copytree(origin, unfinished / name, symlinks=True, ignore=litter)
                    else:
                        shutil.copy(origin, unfinished / name)
                unfinished.rename(source)
        return source

    def render(self, variant: Variant) -> Project:
        """
        The project of a variant.
        """
        key = hashlib.sha256(json.dumps(sorted((k, str(v)) for k, v in variant.answers.items())).encode()).hexdigest()[
            :12
        ]
        if key not in self._rendered:
            path = self._folder / "projects" / f"{variant.id[:60]}-{key}"
            with locked(self._folder / f"{key}.guard"):
                if not path.exists():
                    unfinished = path.with_name(f"{path.name}.unfinished")
                    shutil.rmtree(unfinished, ignore_errors=True)
                    render(self.source, unfinished, variant.answers)
                    unfinished.rename(path)
            self._rendered[key] = Project(path, variant)
        return self._rendered[key]


def render(source: Path, destination: Path, answers: Mapping[str, Any]) -> None:
    """
    Render without trust, without prompts, without a word.
    """
    with quickly():
        copier.run_copy(
            str(source),
            destination,
            data=dict(answers),
            defaults=True,
            quiet=True,
            unsafe=False,
        )


#: Templates that were compiled in this process, by everything that decides about the result.
_CODE: dict[tuple[Any, ...], CodeType] = {}
_compile = jinja2.Environment.compile


@contextlib.contextmanager
def quickly() -> Iterator[None]:
    """
    Do once what Copier does for every file: asking git whether it ignores permissions, compiling the same names.

    Three quarters of the time of a rendering. It changes nothing of what is rendered: git keeps permissions here.
    """

    def compiled(environment: jinja2.Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(source, str):
            return _compile(environment, source, *arguments, **options)
        key = (environment.block_start_string, source, arguments, tuple(options.items()))
        if key not in _CODE:
            _CODE[key] = _compile(environment, source, *arguments, **options)
        return _CODE[key]

    with (
        mock.patch.object(jinja2.Environment, "compile", compiled),
        mock.patch("copier._main.is_git_available", return_value=False),
    ):
        yield
