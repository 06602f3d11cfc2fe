"""
Off means absent: no file, dependency, variable or line of docs. On means present.
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.support import questions
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, pairwise, variants

#: What gives a feature away, by the fact that turns it on: none of it may occur where the fact is false.
WORDS = {
    "has_database": r"sqlalchemy|alembic|aiosqlite|asyncpg|sqlite|postgres|\bSQL\b|DATABASE_|\bdatabases?\b|app\.database"
    r"|app\.items|migrat|(?<!container )\bengines?\b",
    "has_items": r"app\.items|/api/v1/items|feature with data",
    "has_quotes": r"app\.quotes|/api/v1/quotes|/api/v1/zones|feature without data",
    "has_example": r"  # of the example|example of a feature with",
    "has_postgresql": r"asyncpg|app\.database\.backends\.postgresql|postgres:17",
    "has_vm": r"journalctl|deploy/host\.py|deploy/systemd|/etc/systemd|runbook\.md|production\.md|make rollback",
    "has_oxmgr": r"oxmgr|oxfile",
    "has_image": r"dockerfile|dockerignore|scripts/image|serving.healthcheck|docs/image|smoke-image|scan-image",
    "has_compose": r"compose\.yaml|docker compose|deploy/compose|make rollout",
    "has_kubernetes": r"kubernetes|kubectl|kustomiz",
    # Not the bare name, which stands for every proxy where a number is explained.
    "has_nginx": r"/etc/nginx|certbot|deploy/nginx|nginx -t|limit_req",
    "has_caddy": r"caddy",
    "has_traefik": r"traefik",
    "has_app_rate": r"app\.rate_limit|RATE_LIMIT_",
    "has_github": r"(?<!git-lfs)\.github|dependabot|github-actions",
    "has_gitlab": r"gitlab|renovate",
}
#: The exceptions: the record of what was answered; and what is the same in every service, whatever it has to deploy.
EXEMPT = {".copier-answers.yml", "deploy/host.py", "deploy/remote"}


@cache
def owned() -> dict[str, tuple[str, ...]]:
    """
    Condition → the paths that are excluded where it holds.
    """
    found: dict[str, tuple[str, ...]] = {}
    for entries in questions.documents().values():
        for entry in entries.get("_exclude", []):
            (condition,) = re.findall(r"# \{% if (.*?) %\}", entry)
            paths = tuple(line for line in entry.splitlines() if line.startswith("/"))
            found[condition] = (*found.get(condition, ()), *paths)
    return found


def holds(condition: str, variant: Variant) -> bool:
    """
    Tell whether it does for a variant, when that is rendered for the first time.
    """
    return questions.render(f"{{{{ {condition} }}}}", {**variant.facts, "_copier_operation": "copy"}) == "True"


@variants(pairwise)
def test_files_come_and_go_with_their_feature(projects: Projects, variant: Variant) -> None:
    """
    A path that a feature owns exists exactly where the feature is on.
    """
    project = projects.render(variant)
    for condition, paths in owned().items():
        excluded = holds(condition, variant)
        for path in paths:
            if excluded:
                assert not (project / path[1:]).exists(), f"{path} although {condition}"
            elif not any(path.startswith(other) for other in gone(variant)):
                assert (project / path[1:]).exists(), f"no {path} although not {condition}"


def gone(variant: Variant) -> list[str]:
    """
    The paths that some feature excludes from a variant.
    """
    return [path for condition, paths in owned().items() if holds(condition, variant) for path in paths]


@variants(pairwise)
def test_no_folder_is_empty(projects: Projects, variant: Variant) -> None:
    """
    Nothing remains of a feature that is off, not even the folder it was in.
    """
    project = projects.render(variant)
    assert not [path for path in project.path.rglob("*") if path.is_dir() and not any(path.iterdir())]


@variants(pairwise)
def test_off_means_no_word_of_it(projects: Projects, variant: Variant) -> None:
    """
    The words of a feature that is off are nowhere.
    """
    project = projects.render(variant)
    found = [
        f"{name}: {line.strip()[:100]}"
        for fact, words in WORDS.items()
        if not variant.facts[fact]
        for name in project.tree()
        if name not in EXEMPT
        for line in project.read(name).splitlines()
        if re.search(words, line, re.I)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("fact", WORDS)
def test_on_means_present(projects: Projects, fact: str) -> None:
    """
    The words of a feature that is on do occur: the test above looks for the right ones.
    """
    variant = next(variant for variant in pairwise() if variant.facts[fact])
    text = contents(projects.render(variant))
    for word in WORDS[fact].split("|"):
        assert re.search(word, text, re.I), word


def contents(project: Project) -> str:
    return "\n".join(f"{name}\n{project.read(name)}" for name in project.tree())
