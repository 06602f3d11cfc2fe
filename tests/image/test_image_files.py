"""
The image's files, as far as they can be checked without a build.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image.images import VARIANTS
from tests.support.projects import Projects
from tests.support.variants import Variant, named, of, variants

VERSION = re.compile(r"\buv==([\d.]+)")


@variants(lambda: VARIANTS)
def test_hadolint_has_nothing_to_say(projects: Projects, variant: Variant) -> None:
    """
    With all its rules, and none switched off in the file.
    """
    project = projects.render(variant)
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=project.path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint" not in project.read("Dockerfile")


@variants(lambda: VARIANTS)
def test_old_engines_can_read_it(projects: Projects, variant: Variant) -> None:
    """
    No other frontend, and no image but the base: Docker 20.10 and a registry that has Python are enough.
    """
    text = projects.render(variant).read("Dockerfile")
    assert not re.search(r"^# *syntax", text, re.M)
    bases = re.findall(r"^FROM (.+)", text, re.M)
    assert bases == [f"python:{variant.facts['python']}-slim AS base", "base AS build", "base"]
    assert set(re.findall(r"--from=(\S+)", text)) == {"build"}


@pytest.mark.parametrize(
    ("variant", "ci"),
    [(named("default"), ".github/workflows/ci.yml"), (of(ci="gitlab"), ".gitlab-ci.yml")],
    ids=["github", "gitlab"],
)
def test_ci_and_image_have_the_same_uv(projects: Projects, variant: Variant, ci: str) -> None:
    """
    CI locks with the version that installs.
    """
    project = projects.render(variant)
    (version,) = VERSION.findall(project.read("Dockerfile"))
    assert version in project.read(ci)


@variants(lambda: VARIANTS)
def test_the_health_check_ends_before_it_is_killed(projects: Projects, variant: Variant) -> None:
    """
    A check of the application < the question < what the engine waits for it.
    """
    project = projects.render(variant)
    (timeout,) = re.findall(r"--timeout=(\d+)s", project.read("Dockerfile"))
    (patience,) = re.findall(r"^PATIENCE_SECONDS = ([\d.]+)$", project.read("serving/healthcheck.py"), re.M)
    (check,) = re.findall(r"^# READY_CHECK_SECONDS=([\d.]+)$", project.read(".env.example"), re.M)
    assert float(check) < float(patience) < float(timeout)
