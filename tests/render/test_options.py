"""
The questions: an API, whose names, values and defaults are pinned here.
"""

from __future__ import annotations

import contextlib
import keyword
import random
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import copier
import pytest

from tests.support import questions, variants
from tests.support.projects import Projects, quickly
from tests.support.variants import Variant, of, three, typed

#: Name → default and choices. A change here breaks the answers that users have stored: give a rename an aliasing
#: default, and never take a value away.
CONTRACT: dict[str, tuple[Any, ...]] = {
    "project_name": ("My Service",),
    "project_slug": ("my-service",),
    "description": ("A service that answers",),
    "database": ("postgresql", "postgresql", "sqlite", "none"),
    "example": (True,),
    "request_budget": ("auto",),
    "body_limit": ("auto",),
    "targets": (["vm", "image"], "vm", "image", "container", "kubernetes"),
    "supervisor": ("auto", "auto", "systemd", "oxmgr"),
    "port": (8000,),
    "proxy": ("nginx", "nginx", "caddy", "traefik", "none"),
    "domain": ("api.example.com",),
    "edge_rate": ("auto",),
    "trusted_edges": ("auto",),
    "app_rate": ("auto",),
    "python_version": ("auto", "auto", "3.11", "3.12", "3.13", "3.14"),
    "ci": ("auto", "auto", "github", "gitlab", "none"),
}
ASKED = ["project_name", "project_slug", "description", "database", "targets", "proxy", "domain"]


def asked() -> list[questions.Question]:
    return [question for question in questions.questions() if not question.is_fact]


def test_the_contract_of_answers_is_kept() -> None:
    """
    Names, order, defaults and choices are those that stored answers rely on.
    """
    defaults = questions.evaluate({})
    found = {question.name: (defaults[question.name], *question.choices) for question in asked()}
    assert list(found.items()) == list(CONTRACT.items())


def test_few_questions_are_asked() -> None:
    """
    Everything else has an answer that follows better defaults: "auto" is stored, not the value. Except a port: what runs on
    it stays there; and the example, which does not come back either.
    """
    assert [question.name for question in asked() if question.spec.get("ask", True)] == ASKED
    for question in asked():
        if question.name not in {*ASKED, "port", "example"}:
            assert question.spec["default"] == "auto", question.name
        assert question.spec.get("help"), question.name


#: Answers that are given although others take their meaning, and one that stands for several.
BESIDE = (
    of(targets=[], proxy="caddy", domain="shop.example.net"),
    of(supervisor="oxmgr", proxy="caddy", app_rate="auto"),
    of(proxy="none", edge_rate="7", trusted_edges="192.0.2.0/24"),
    of(targets="[vm]"),
    of(targets=["kubernetes"], proxy="caddy", domain="shop.example.net"),
    of(targets=["container"], proxy="traefik"),
    of(targets=["image"], proxy="traefik"),
    of(example="no"),
    of(example=False, database="none"),
    of(targets=["image", "container"]),
)


@pytest.mark.parametrize("variant", [*three(), *BESIDE], ids=str)
def test_the_option_space_is_read_as_copier_reads_it(projects: Projects, tmp_path: Path, variant: Variant) -> None:
    """
    Answers and facts as the tests compute them are those that Copier computes; what it stores are those it would ask.
    """
    with quickly():
        worker = copier.run_copy(
            str(projects.source), tmp_path, data=dict(variant.answers), defaults=True, quiet=True, pretend=True
        )
    combined = worker.answers.combined
    assert {name: combined[name] for name in variant.facts} == dict(variant.facts)
    hidden = {question.name for question in asked() if not question.is_asked(variant.facts)}
    assert hidden == worker.answers.hidden - {question.name for question in questions.questions() if question.is_fact}


def test_what_has_no_meaning_has_its_default() -> None:
    """
    Without a machine, as an image and on Kubernetes, there is no proxy: combinations that differ in it alone are one.
    """
    for targets in ([], ["image"], ["kubernetes"]):
        without = variants.complete(of(targets=targets))
        assert without["proxy"] == "nginx"
        for proxy in questions.levels()["proxy"]:
            assert variants.complete(of(targets=targets, proxy=proxy)) == without


@pytest.mark.parametrize("other", ["container", "kubernetes"])
def test_the_image_comes_with_what_runs_it(other: str) -> None:
    """
    Asked for beside compose or Kubernetes, which need it, the image changes nothing.
    """
    assert questions.facts({"targets": ["image", other]}) == questions.facts({"targets": [other]})
    assert questions.facts({"targets": ["image"]}) != questions.facts({"targets": [other]})


def test_every_pair_of_answers_occurs() -> None:
    """
    The pairwise set is complete, begins with the three named variants, and is small.
    """
    chosen = variants.pairwise()
    assert [variant.id for variant in chosen[:3]] == list(variants.NAMED)
    seen = {pair for variant in chosen for pair in variants.pairs(variants.complete(variant))}
    assert variants.possible().keys() - seen == set()
    assert len(chosen) <= 34
    # The pairs that can occur were found by search; none turns up anywhere else.
    chance = random.Random(20261121)
    for _ in range(300):
        answers = {name: chance.choice(values) for name, values in questions.levels().items()}
        with contextlib.suppress(questions.InvalidAnswer):
            assert set(variants.pairs(questions.canonical(answers))) <= seen, answers


def test_every_value_has_a_variant() -> None:
    """
    The quality tier runs each value of each option at least once.
    """
    complete = [variants.complete(variant) for variant in variants.each_value()]
    for name, values in questions.levels().items():
        assert all(any(answers[name] == value for answers in complete) for value in values), name


def test_ids_are_words() -> None:
    """
    An id can be given to `pytest -k`, and names one variant.
    """
    ids = [variant.id for variant in (*variants.pairwise(), *variants.each_value())]
    assert all(re.fullmatch(r"[a-z0-9_]+(-[a-z0-9_]+)*", word) for word in ids), ids
    assert len({variant.id for variant in variants.pairwise()}) == len(variants.pairwise())
    assert all(expression_is_valid(word) for word in ids)


def expression_is_valid(word: str) -> bool:
    return not keyword.iskeyword(word) and not set(word) & set("=()[] ")


def test_the_documented_options_are_the_questions() -> None:
    """
    The table in docs/options.md has their names, values and defaults, in their order.
    """
    text = (questions.ROOT / "docs/options.md").read_text()
    table = text.split("<!-- options -->")[1].split("<!-- /options -->")[0]
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table.strip().splitlines()
        if line.startswith("| `")
    ]
    documented = [(row[0].strip("`"), tuple(re.findall(r"`([^`]+)`", row[1])), row[2].strip("`")) for row in rows]
    expected = [
        (
            question.name,
            question.choices or documented[index][1],
            typed(questions.evaluate({})[question.name])
            if question.is_multiple or question.kind == "bool"
            else str(questions.evaluate({})[question.name]),
        )
        for index, question in enumerate(asked())
    ]
    assert documented == expected


def test_explicit_defaults_render_the_same(projects: Projects) -> None:
    """
    Saying what is the default anyway changes nothing but the stored answers; nor does what "auto" stands for.
    """
    default = projects.render(variants.named("default"))
    said = {question.name: questions.evaluate({})[question.name] for question in asked()}
    resolved = said | {
        "ci": "github",
        "python_version": "3.13",
        "request_budget": "30",
        "body_limit": "1 MiB",
        "supervisor": "systemd",
        "edge_rate": "50",
        "app_rate": "none",
    }
    for answers in (said, resolved):
        explicit = projects.render(Variant("explicit", answers))
        assert explicit.tree() == default.tree()
        differing = [n for n in default.tree() if (explicit / n).read_bytes() != (default / n).read_bytes()]
        assert set(differing) <= {".copier-answers.yml"}


def test_nothing_needs_trust() -> None:
    """
    No task, migration or extension: `copier copy` and `copier update` never ask for --trust.
    """
    settings = [questions.settings(), *questions.documents().values()]
    unsafe = {"_tasks", "_migrations", "_jinja_extensions", "_secret_questions", "_external_data"}
    assert not unsafe & {name for document in settings for name in document}
    assert not [question.name for question in questions.questions() if question.spec.get("secret")]


def test_reserved_names_are_complete(projects: Projects) -> None:
    """
    Names that are refused as a slug include every keyword, module, dependency and folder they could be taken for.
    """
    reserved = set(questions.evaluate({})["reserved_slugs"].split())
    possible = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
    modules = {name for name in sys.stdlib_module_names if possible.fullmatch(name)}
    words = {name for name in (*keyword.kwlist, *keyword.softkwlist) if possible.fullmatch(name)}
    dependencies: set[str] = set()
    folders: set[str] = set()
    for variant in variants.each_value():
        project = projects.render(variant)
        config = tomllib.loads(project.read("pyproject.toml"))
        required = [*config["project"]["dependencies"], *config["dependency-groups"]["dev"]]
        dependencies |= {re.split(r"[<>=~\[; ]", name)[0] for name in required}
        folders |= {name.split("/")[0] for name in project.tree() if "/" in name and not name.startswith(".")}
    assert (modules | words | dependencies | folders) - reserved == set()
