"""
The option space, read from copier.yml and features/, never restated.

The documents are evaluated with the template's own Jinja settings. A test in tests/render holds this reader against
what Copier itself computes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from copier.errors import UserMessageError
from jinja2.sandbox import SandboxedEnvironment

ROOT = Path(__file__).resolve().parents[2]
Answers = Mapping[str, Any]

_CASTS: Mapping[str, Any] = {
    "str": str,
    "int": int,
    "bool": lambda value: value if isinstance(value, bool) else str(value).lower() == "true",
}


class InvalidAnswer(UserMessageError):
    """
    An answer that its question refuses; the text is what the user is told.
    """


@dataclass(frozen=True)
class Question:
    """
    One question or fact (a question that is never asked nor stored) of a feature document.
    """

    name: str
    document: str
    spec: Mapping[str, Any]

    @property
    def is_fact(self) -> bool:
        return self.spec.get("when", True) is False

    @property
    def choices(self) -> tuple[str, ...]:
        """
        The values that may be chosen; empty for free text.
        """
        choices = self.spec.get("choices", ())
        return tuple(choices.values() if isinstance(choices, dict) else choices)

    @property
    def kind(self) -> str:
        return str(self.spec.get("type", "str"))


@cache
def settings() -> Mapping[str, Any]:
    """
    The settings of copier.yml: its first document.
    """
    text = (ROOT / "copier.yml").read_text()
    loaded: Mapping[str, Any] = yaml.safe_load(text.split("\n---\n")[0])
    return loaded


@cache
def documents() -> Mapping[str, Mapping[str, Any]]:
    """
    The feature documents by name, in the order in which copier.yml includes them.
    """
    included = re.findall(r"^!include (features/\S+)$", (ROOT / "copier.yml").read_text(), re.M)
    return {Path(path).stem: yaml.safe_load((ROOT / path).read_text(encoding="utf-8")) for path in included}


@cache
def questions() -> tuple[Question, ...]:
    """
    All questions and facts, in the order in which they are evaluated.
    """
    return tuple(
        Question(name, document, spec)
        for document, entries in documents().items()
        for name, spec in entries.items()
        if not name.startswith("_")
    )


@cache
def environment() -> jinja2.Environment:
    """
    A Jinja environment as Copier makes it for this template.
    """
    options = dict(settings()["_envops"])
    options["undefined"] = getattr(jinja2, options["undefined"].removeprefix("jinja2."))
    return SandboxedEnvironment(extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"], **options)


@cache
def _template(text: str) -> jinja2.Template:
    return environment().from_string(text)


def render(text: str, values: Mapping[str, Any]) -> str:
    """
    A templated text of the documents, rendered.
    """
    return _template(text).render(**values)


def evaluate(given: Answers) -> dict[str, Any]:
    """
    Every answer and fact that follows from the given answers. Raises InvalidAnswer.
    """
    unknown = set(given) - {question.name for question in questions() if not question.is_fact}
    if unknown:
        raise InvalidAnswer(f"No such question: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {}
    for question in questions():
        value = given.get(question.name, None)
        if value is None:
            default = question.spec["default"]
            value = render(default, values) if isinstance(default, str) else default
        value = _CASTS[question.kind](value)
        values[question.name] = value
        if question.is_fact:
            continue
        if question.choices and value not in question.choices:
            raise InvalidAnswer(f"{question.name}: {value!r} is not in {list(question.choices)}")
        if message := render(question.spec.get("validator", ""), values).strip():
            raise InvalidAnswer(f"{question.name}: {message}")
    return values


@cache
def levels() -> Mapping[str, tuple[Any, ...]]:
    """
    The values to try for each option: its choices, or, for free text, what the data files in answers/ say.

    Questions about identity have no levels: their text changes no file's presence. Values that lead to the same
    facts ("auto", and what auto stands for) count once.
    """
    found: dict[str, tuple[Any, ...]] = {}
    profiles = [yaml.safe_load(path.read_text()) or {} for path in sorted((ROOT / "answers").glob("*.yml"))]
    for question in questions():
        if question.is_fact or question.document == "identity":
            continue
        values = [question.spec["default"], *question.choices]
        values += [profile[question.name] for profile in profiles if question.name in profile]
        distinct: dict[str, Any] = {}
        for value in values:
            distinct.setdefault(repr(sorted(facts({question.name: value}).items())), value)
        found[question.name] = tuple(distinct.values())
    return found


def facts(given: Answers) -> dict[str, Any]:
    """
    The facts alone: what rendering depends on, besides identity.
    """
    values = evaluate(given)
    return {
        question.name: values[question.name]
        for question in questions()
        if question.is_fact and question.document != "identity"
    }


def product() -> Iterator[dict[str, Any]]:
    """
    Every valid combination of levels.
    """
    space = levels()
    for values in itertools.product(*space.values()):
        answers = dict(zip(space, values, strict=True))
        try:
            evaluate(answers)
        except InvalidAnswer:
            continue
        yield answers
