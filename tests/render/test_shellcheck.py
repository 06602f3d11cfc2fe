"""
ShellCheck has nothing to say of any shell script, rendered or our own.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import questions
from tests.support.projects import Projects
from tests.support.variants import Variant, each_value, three, variants


def check(root: Path, names: list[str]) -> str:
    """
    Its findings in those that are for a shell.
    """
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is missing: scripts/install-tools installs it")
    scripts = [
        name
        for name in names
        if name.endswith(".sh") or (root / name).read_bytes()[:16].startswith((b"#!/bin/sh", b"#!/usr/bin/env b"))
    ]
    assert scripts
    return subprocess.run(["shellcheck", *scripts], cwd=root, capture_output=True, text=True).stdout


def with_scripts() -> list[Variant]:
    """
    The named variants, and those with compose, of which two named ones have nothing.
    """
    return [variant for variant in each_value() if variant in three() or variant.facts["has_compose"]]


@variants(with_scripts)
def test_rendered_scripts(projects: Projects, variant: Variant) -> None:
    """
    Every shell script of a service.
    """
    project = projects.render(variant)
    assert not check(project.path, project.tree())


def test_own_scripts() -> None:
    """
    Every shell script of the template.
    """
    names = [f"scripts/{path.name}" for path in (questions.ROOT / "scripts").iterdir() if path.is_file()]
    assert not check(questions.ROOT, [*names, ".ci/run"])
