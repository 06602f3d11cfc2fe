"""
Variants: the combinations of answers that tests render, boot and check.

An id is the difference from the default, in words: `database-none`, `database-sqlite_ci-gitlab`; so
`pytest -k database-none` works.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import yaml

from tests.support import questions

NAMED = ("minimal", "default", "maximal")


@dataclass(frozen=True)
class Variant:
    """
    One combination of answers, and the facts that follow from them.
    """

    id: str
    answers: Mapping[str, Any] = field(hash=False)

    @property
    def facts(self) -> Mapping[str, Any]:
        return questions.evaluate(self.answers)

    @property
    def options(self) -> str:
        """
        The answers as `make render OPTIONS="…"` takes them.
        """
        return " ".join(f"{name}={str(value).replace(' ', '')}" for name, value in self.answers.items())

    def __str__(self) -> str:
        return self.id


def identify(answers: Mapping[str, Any]) -> str:
    """
    The words by which answers differ from the default.
    """
    defaults = {question.name: question.spec["default"] for question in questions.questions()}
    words = [f"{name}-{value}".lower() for name, value in answers.items() if str(value) != str(defaults[name])]
    return re.sub(r"[^a-z0-9_-]+", "-", "_".join(words).replace(".", "")) or "default"


@cache
def named(name: str) -> Variant:
    """
    A variant from its data file in answers/.
    """
    answers = yaml.safe_load((questions.ROOT / "answers" / f"{name}.yml").read_text())
    return Variant(name, answers or {})


@cache
def three() -> tuple[Variant, ...]:
    """
    Minimal, default and maximal.
    """
    return tuple(named(name) for name in NAMED)


def of(**answers: Any) -> Variant:
    """
    A variant for given answers; the rest are defaults.
    """
    return Variant(identify(answers), answers)


@cache
def each_value() -> tuple[Variant, ...]:
    """
    The three named variants, and one more per option value that none of them has.
    """
    found = list(three())
    for name, values in questions.levels().items():
        for value in values:
            if not any(complete(variant)[name] == value for variant in found):
                found.append(of(**{name: value}))
    return tuple(found)


@cache
def pairwise() -> tuple[Variant, ...]:
    """
    The three named variants, then as few as a greedy search needs until every valid pair of answers occurs.
    """
    found = list(three())
    covered = {pair for variant in found for pair in pairs(complete(variant))}
    candidates = list(questions.product())
    missing = {pair for answers in candidates for pair in pairs(answers)} - covered
    while missing:
        best = max(candidates, key=lambda answers: len(missing & set(pairs(answers))))
        missing -= set(pairs(best))
        found.append(Variant(identify(best), best))
    return tuple(found)


def pairs(answers: Mapping[str, Any]) -> Iterable[tuple[tuple[str, Any], ...]]:
    """
    Every pair of answers that occurs in a combination, in a fixed order.
    """
    return itertools.combinations(sorted(answers.items()), 2)


def complete(variant: Variant) -> dict[str, Any]:
    """
    The variant's value of every option, each as the level that leads to the same facts.
    """
    complete: dict[str, Any] = {}
    for name, values in questions.levels().items():
        given = variant.answers.get(name, values[0])
        facts = questions.facts({name: given})
        complete[name] = next(v for v in values if questions.facts({name: v}) == facts)
    return complete


def variants(chosen: Callable[[], Iterable[Variant]]) -> pytest.MarkDecorator:
    """
    Run a test once per variant: `@variants(pairwise)`.

    Cases of one variant stay on one worker, which has rendered and installed it already.
    """
    return pytest.mark.parametrize(
        "variant",
        [pytest.param(variant, id=variant.id, marks=pytest.mark.xdist_group(variant.id)) for variant in chosen()],
    )
