"""
The README of a rendered service: what it tells to type works for this service.
"""

from __future__ import annotations

import re

from tests.support.projects import Projects
from tests.support.variants import Variant, pairwise, variants


def commands(readme: str, heading: str) -> list[str]:
    """
    The indented lines of a section.
    """
    section = readme.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^    (\S.*)$", section, re.M)


@variants(pairwise)
def test_deployment(projects: Projects, variant: Variant) -> None:
    """
    The URL of a database is set, and its migrations run, before the server starts.
    """
    found = commands(projects.render(variant).read("README.md"), "Deploy and operate")
    if variant.facts["has_vm"]:
        assert [line.split()[:2] for line in found[:3]] == [["make", verb] for verb in ("setup", "deploy", "rollback")]
        found = found[3:]
    if variant.facts["has_image_alone"]:
        assert found.pop(0) == "make image && make smoke-image"
    if variant.facts["has_compose"]:
        image = f"IMAGE={variant.facts['project_slug']}:previous"
        assert found[:3] == ["make up", "make image && make rollout", f"make rollout {image}"]
        found = found[3:]
    if variant.facts["has_kubernetes"]:
        assert found.pop(0) == variant.facts["kubernetes_deploy"]
        assert found.pop(0) == "make kubernetes-rollback OVERLAY=staging"
    database = [f"export DATABASE_URL={variant.facts['example_database_url']}", ".venv/bin/alembic upgrade head"]
    assert found == [
        "uv sync --locked --no-dev",
        "export APP_ENV=production",
        *(database if variant.facts["has_database"] else []),
        ".venv/bin/gunicorn app.main:app",
    ]


@variants(pairwise)
def test_links_lead_somewhere(projects: Projects, variant: Variant) -> None:
    """
    Every file that a README links is there.
    """
    project = projects.render(variant)
    for name in project.tree():
        if name.endswith(".md"):
            for target in re.findall(r"\]\(([^):]+)\)", project.read(name)):
                assert ((project / name).parent / target).exists(), f"{name}: {target}"


@variants(pairwise)
def test_the_example_is_not_mentioned(projects: Projects, variant: Variant) -> None:
    """
    It speaks for itself, so no sentence is left when it goes.
    """
    assert "example" not in projects.render(variant).read("README.md").replace(".env.example", "")
