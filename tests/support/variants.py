"""
Variants: the combinations of answers that tests render, boot and check.

An id is the difference from the default, in words: `database-none`, `database-sqlite_ci-gitlab`; so
`pytest -k database-none` works.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import pytest
import yaml

from tests.support import questions

NAMED = ("minimal", "default", "maximal")
#: Two options, in the order of their names, each with a value.
Pair: TypeAlias = tuple[tuple[str, Any], tuple[str, Any]]


@dataclass(frozen=True)
class Variant:
    """
    One combination of answers, and the facts that follow from them.
    """

    id: str
    answers: Mapping[str, Any] = field(hash=False)

    @property
    def facts(self) -> Mapping[str, Any]:
        return _facts(self)

    @property
    def options(self) -> str:
        """
        The answers as `make render OPTIONS="…"` takes them.
        """
        return " ".join(f"{name}={typed(value)}" for name, value in self.answers.items())

    def __str__(self) -> str:
        return self.id


@cache
def _facts(variant: Variant) -> Mapping[str, Any]:
    return questions.evaluate(variant.answers)


def typed(answer: Any) -> str:
    """
    An answer without blanks; several of them in brackets.
    """
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return f"[{','.join(answer)}]" if isinstance(answer, list) else str(answer).replace(" ", "")


def identify(answers: Mapping[str, Any]) -> str:
    """
    The words by which answers differ from the default.
    """
    defaults = questions.evaluate({})
    words = [
        f"{name}-{'-'.join(value) or 'none' if isinstance(value, list) else typed(value) if value is False else value}".lower()
        for name, value in answers.items()
        if str(value) != str(defaults[name])
    ]
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
    space = questions.levels()
    for name, values in space.items():
        for value in values:
            if any(complete(variant)[name] == value for variant in found):
                continue
            # Where it changes nothing of the default, next to the first answer where it does.
            neighbours = [{other: level} for other, levels in space.items() if other != name for level in levels]
            given = next(
                {**near, name: value}
                for near in ({}, *neighbours)
                if questions.facts({**near, name: value}) != questions.facts(near)
            )
            found.append(of(**given))
    return tuple(found)


@cache
def pairwise() -> tuple[Variant, ...]:
    """
    The three named variants, then as few as a greedy search finds until every possible pair of answers occurs.
    """
    # The options with most values first: they decide how many variants there are.
    space = questions.levels()
    names = sorted(space, key=lambda name: -len(space[name]))
    missing = dict.fromkeys(sorted(possible(), key=lambda pair: sum(names.index(name) for name, _ in pair)))
    found = list(three())
    for variant in found:
        for pair in pairs(complete(variant)):
            missing.pop(pair, None)
    while missing:
        seed = next(iter(missing))
        orders = [names[turn:] + names[:turn] for turn in range(len(names))]
        best = max((grown(seed, missing, order) for order in orders), key=lambda a: len(missing.keys() & set(pairs(a))))
        for pair in pairs(best):
            missing.pop(pair, None)
        found.append(Variant(identify(best), best))
    return tuple(found)


def grown(seed: Pair, missing: Mapping[Pair, None], order: Iterable[str]) -> dict[str, Any]:
    """
    A combination with a certain pair and, option by option, the value that completes most of the missing ones.
    """
    # To ask at every step takes long, and is seldom needed.
    for is_taken in (lambda _: True, have_a_meaning):
        answers: dict[str, Any] = dict(seed)
        for name in order:
            if name not in answers:
                joined = {
                    value: set(pairs_with(name, value, answers)) for value in map(frozen, questions.levels()[name])
                }
                fitting = [value for value, made in joined.items() if made <= possible().keys()]
                fitting.sort(key=lambda value: -len(missing.keys() & joined[value]))
                for value in fitting:
                    if is_taken({**answers, name: value}):
                        answers[name] = value
                        break
        if len(answers) == len(questions.levels()) and have_a_meaning(answers):
            return questions.canonical(answers)
    return possible()[seed]


def have_a_meaning(answers: Mapping[str, Any]) -> bool:
    """
    Tell whether answers are taken, and none of them makes another one mean nothing.
    """
    try:
        return answers.items() <= {name: frozen(value) for name, value in questions.canonical(answers).items()}.items()
    except questions.InvalidAnswer:
        return False


@cache
def possible() -> dict[Pair, dict[str, Any]]:
    """
    Every pair of answers that can occur, with a combination in which it does.

    A pair may need a third answer: a question has no meaning, and so only its default, where another one says so.
    """
    found: dict[Pair, dict[str, Any]] = {}
    thirds = [{}, *({name: value} for name, values in questions.levels().items() for value in values[1:])]
    for (one, ones), (other, others) in itertools.combinations(sorted(questions.levels().items()), 2):
        for value, beside in itertools.product(ones, others):
            for third in thirds:
                if ((one, frozen(value)), (other, frozen(beside))) in found:
                    break
                with contextlib.suppress(questions.InvalidAnswer):
                    answers = questions.canonical({**third, one: value, other: beside})
                    for pair in pairs(answers):
                        found.setdefault(pair, answers)
    return found


#: Documents that decide where and how a service runs. Its application does not know.
AROUND = {"identity", "vm", "container", "kubernetes", "proxy", "python", "ci"}
#: Facts that are sentences of documents.
SAID = {"rate_text", "rate_where", "caddy_rate"}


def application(variant: Variant) -> tuple[Any, ...]:
    """
    The facts that a variant's application depends on: variants that share them have the same one.
    """
    facts = (question for question in questions.questions() if question.is_fact and question.document not in AROUND)
    return tuple(variant.facts[fact.name] for fact in facts if fact.name not in SAID)


@cache
def applications() -> tuple[Variant, ...]:
    """
    The first of the pairwise variants for each application that occurs among them.
    """
    found: dict[tuple[Any, ...], Variant] = {}
    for variant in pairwise():
        found.setdefault(application(variant), variant)
    return tuple(found.values())


@cache
def kinds() -> tuple[Variant, ...]:
    """
    One application, with the example, for each combination of other things that it has or has not: others differ in
    numbers, or offer nothing.
    """
    found: dict[tuple[Any, ...], Variant] = {}
    for variant in sorted(applications(), key=lambda variant: not variant.facts["has_example"]):
        shown = variant if variant.facts["has_example"] else of(**{**variant.answers, "example": True})
        found.setdefault(tuple(fact for fact in application(shown) if isinstance(fact, bool)), shown)
    return tuple(found.values())


def frozen(answer: Any) -> Any:
    return tuple(answer) if isinstance(answer, list) else answer


def pairs(answers: Mapping[str, Any]) -> list[Pair]:
    """
    Every pair of answers that occurs in a combination, in a fixed order.
    """
    return list(itertools.combinations(sorted((name, frozen(value)) for name, value in answers.items()), 2))


def pairs_with(name: str, value: Any, answers: Mapping[str, Any]) -> list[Pair]:
    """
    The pairs that one more answer makes with those that are there.
    """
    return [
        ((name, value), (other, beside)) if name < other else ((other, beside), (name, value))
        for other, beside in answers.items()
    ]


@cache
def complete(variant: Variant) -> dict[str, Any]:
    """
    The variant's value of every option, each as the level that leads to the same facts.
    """
    answers = questions.canonical(variant.answers)
    for name, values in questions.levels().items():
        if answers[name] not in values:
            facts = questions.facts(answers)
            answers[name] = next(value for value in values if questions.facts({**answers, name: value}) == facts)
    return answers


def variants(chosen: Callable[[], Iterable[Variant]]) -> pytest.MarkDecorator:
    """
    Run a test once per variant: `@variants(pairwise)`.

    Cases of one variant stay on one worker, which has rendered and installed it already.
    """
    return pytest.mark.parametrize(
        "variant",
        [pytest.param(variant, id=variant.id, marks=pytest.mark.xdist_group(variant.id)) for variant in chosen()],
    )
