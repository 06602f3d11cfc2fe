"""
The option space, read from copier.yml and features/, never restated.

The documents are evaluated with the template's own Jinja settings. A test in tests/render holds this reader against
what Copier itself computes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import yaml
from copier.errors import UserMessageError
from jinja2.sandbox import SandboxedEnvironment

ROOT = Path(__file__).resolve().parents[2]
Answers = Mapping[str, Any]

_CASTS: Mapping[str, Any] = {
    "str": str,
    "int": int,
    "bool": lambda value: value if isinstance(value, bool) else str(value).lower() in {"true", "yes"},
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
    def levels(self) -> tuple[Any, ...]:
        """
        The answers that choices allow: one of them or, where several may be chosen, none, each alone, and all.
        """
        if self.kind == "bool":
            return (True, False)
        if not self.is_multiple:
            return self.choices
        sets = [[], *([choice] for choice in self.choices), list(self.choices)]
        return tuple(chosen for index, chosen in enumerate(sets) if chosen not in sets[:index])

    @property
    def kind(self) -> str:
        return str(self.spec.get("type", "str"))

    @property
    def is_multiple(self) -> bool:
        return bool(self.spec.get("multiselect", False))

    def default(self, values: Mapping[str, Any]) -> Any:
        """
        The answer that is proposed, given those that are known.
        """
        default = self.spec["default"]
        return render(default, values) if isinstance(default, str) else default

    def is_asked(self, values: Mapping[str, Any]) -> bool:
        """
        Tell whether it has a meaning, given the answers before it. Without one its default holds.
        """
        when = self.spec.get("when", True)
        return render(when, values) == "True" if isinstance(when, str) else bool(when)

    def parse(self, answer: Any) -> Any:
        """
        An answer as its type; several as a list in the order of the choices, as Copier stores them.
        """
        cast = _CASTS[self.kind]
        if not self.is_multiple:
            return cast(answer)
        chosen = [cast(value) for value in (yaml.safe_load(answer) if isinstance(answer, str) else answer)]
        return [choice for choice in self.choices if choice in chosen] + [v for v in chosen if v not in self.choices]


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
def _template(text: str) -> tuple[jinja2.Template, tuple[str, ...]]:
    names = jinja2.meta.find_undeclared_variables(environment().parse(text))
    return environment().from_string(text), tuple(sorted(names))


#: What was rendered before, by the text and the values that it names: of thousands of combinations few differ there.
_RENDERED: dict[tuple[str, ...], str] = {}


def render(text: str, values: Mapping[str, Any]) -> str:
    """
    A templated text of the documents, rendered.
    """
    template, names = _template(text)
    key = (text, *(repr(values.get(name)) for name in names))
    if key not in _RENDERED:
        _RENDERED[key] = template.render(**values)
    return _RENDERED[key]


def evaluate(given: Answers) -> dict[str, Any]:
    """
    Every answer and fact that follows from the given answers. Raises InvalidAnswer.
    """
    unknown = set(given) - {question.name for question in questions() if not question.is_fact}
    if unknown:
        raise InvalidAnswer(f"No such question: {', '.join(sorted(unknown))}")
    # As in Copier, answers that are given or stored are known from the start, also to the questions before theirs.
    values: dict[str, Any] = dict(given)
    for question in questions():
        value = given.get(question.name, None)
        if value is None:
            value = question.default(values)
        value = question.parse(value)
        values[question.name] = value
        if question.is_fact:
            continue
        chosen = value if question.is_multiple else [value]
        if question.choices and not set(chosen) <= set(question.choices):
            raise InvalidAnswer(f"{question.name}: {value!r} is not in {list(question.choices)}")
        if message := render(question.spec.get("validator", ""), values).strip():
            raise InvalidAnswer(f"{question.name}: {message}")
    return values


@cache
def levels() -> Mapping[str, tuple[Any, ...]]:
    """
    The values to try for each option: its choices, or, for free text, what the data files in answers/ say.

    Questions about identity have no levels: their text changes no file's presence. Values that lead to the same
    facts whatever else is answered ("auto", and what auto stands for) count once. The first is the default.
    """
    found: dict[str, tuple[Any, ...]] = {}
    profiles = [yaml.safe_load(path.read_text()) or {} for path in sorted((ROOT / "answers").glob("*.yml"))]
    tried: dict[str, list[Any]] = {}
    for question in questions():
        if question.is_fact or question.document == "identity":
            continue
        values = [evaluate({})[question.name], *question.levels]
        values += [profile[question.name] for profile in profiles if question.name in profile]
        tried[question.name] = [question.parse(value) for value in values]
    for name, values in tried.items():
        # What a value does may show only next to a certain value of another option.
        contexts = [{other: value} for other, others in tried.items() if other != name for value in others]
        distinct: list[Any] = []
        for value in values:
            if value not in distinct and not any(_equal({name: value}, {name: kept}, contexts) for kept in distinct):
                distinct.append(value)
        found[name] = tuple(distinct)
    return found


def _equal(one: Answers, other: Answers, contexts: Iterable[Answers]) -> bool:
    """
    Tell whether two answers lead to the same facts, or to a refusal, alone and in every context.
    """

    def outcome(given: Answers) -> object:
        try:
            return facts(given)
        except InvalidAnswer:
            return None

    return all(outcome({**context, **one}) == outcome({**context, **other}) for context in ({}, *contexts))


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


def canonical(given: Answers) -> dict[str, Any]:
    """
    A value for every option: the given ones, and the default of what was not given or has no meaning next to them.
    """
    answers = {name: value for name, value in given.items() if name in levels()}
    while True:
        values = evaluate(answers)
        asked = {question.name for question in questions() if question.is_asked(values)}
        if set(answers) <= asked:
            return {name: values[name] for name in levels()}
        answers = {name: value for name, value in answers.items() if name in asked}
