"""
The promises to services of the published states, without rendering any: questions, answers and paths that stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from tests.support import published, questions, scatter
from tests.support.published import STATES, State
from tests.support.questions import Question

TODAY = published.rendered(path.relative_to(scatter.TEMPLATE).as_posix() for path in scatter.files())
#: What a service may have answered, by what its state asked.
SETS: tuple[Mapping[str, Any], ...] = (
    {},
    {"database": "none", "targets": [], "app_rate": "none", "ci": "none"},
    {"database": "sqlite"},
    {"proxy": "caddy"},
    {"proxy": "none", "ci": "gitlab"},
)
#: Validators that became stricter, each for answers that no published state took; a test below says so.
STRICTER = {"project_slug", "targets"}


def folders(paths: frozenset[str]) -> set[str]:
    return {parent.as_posix() for path in paths for parent in PurePosixPath(path).parents} - {"."}


@pytest.mark.parametrize("state", STATES, ids=str)
def test_no_path_turns_from_file_to_folder_or_back(state: State) -> None:
    """
    Copier stops with an AssertionError where one does, and applies nothing: whatever the answers are.
    """
    assert len(state.paths) > 100
    assert TODAY & folders(state.paths) == set(), "a folder of the published state is a file today"
    assert state.paths & folders(TODAY) == set(), "a file of the published state is a folder today"


def answered(state: State, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """
    The answers file of a service of a state: everything that was asked or taken unasked, and had a meaning.
    """
    values: dict[str, Any] = {name: value for name, value in chosen.items() if name in state.asked}
    for name, spec in state.questions.items():
        if name not in values:
            question = Question(name, str(state), spec)
            values[name] = question.parse(question.default(values))
    return {
        name: values[name]
        for name, spec in state.asked.items()
        if not isinstance(spec.get("when"), str) or questions.render(spec["when"], values) == "True"
    }


#: What every service had before it could be left out: the answer and its facts, with files that show it.
HAD = {
    "example": {"app/items/router.py", "app/quotes/router.py"},
    "has_example": {"app/items/router.py", "app/quotes/router.py"},
    "has_features": {"app/items/router.py", "app/quotes/router.py"},
    "has_items": {"app/items/router.py"},
    "has_quotes": {"app/quotes/router.py"},
}


@pytest.mark.parametrize("state", STATES, ids=str)
def test_what_could_not_be_left_out_was_there(state: State) -> None:
    """
    Each state has rendered it.
    """
    assert set().union(*HAD.values()) <= state.paths


def cases() -> list[Any]:
    # Without a look at the history: where it is missing these tests fail and say so, and no other does.
    return [
        pytest.param(state, chosen, id=f"{state}-{'-'.join(map(str, chosen.values())) or 'default'}")
        for state in STATES
        for chosen in SETS
    ]


def brought(question: Question, stored: Mapping[str, Any]) -> Iterator[str]:
    """
    The facts that a question's default turns on for a service, and another answer to it would not.
    """
    values = questions.evaluate(stored)
    if question.name in stored or not question.is_asked(values):
        return
    for level in (*question.levels, *questions.levels().get(question.name, ())):
        try:
            other = questions.evaluate({**stored, question.name: level})
        except questions.InvalidAnswer:
            continue
        yield from (name for name, value in values.items() if value is True and other[name] is False)


@pytest.mark.parametrize(("state", "chosen"), cases())
def test_a_later_question_brings_nothing_unasked(state: State, chosen: Mapping[str, Any]) -> None:
    """
    The default of a question that a service has not answered turns nothing on that its state had not on.
    """
    stored = answered(state, chosen)
    had = {**stored, **dict.fromkeys(state.questions), **dict.fromkeys(HAD)}
    for question in questions.questions():
        if not question.is_fact:
            new = [name for name in brought(question, stored) if name not in had]
            assert not new, (
                f"{question.name} would turn {new} on in a service that was rendered before it was asked: "
                f'its default is "{{{{ … if rendered_before else … }}}}", see CONTRIBUTING.md'
            )


def is_neutral(question: Question) -> bool:
    """
    Tell whether the default of a question that no state asked says what a service has: it follows `auto`, it names
    `rendered_before`, or it is what all services had before it could be chosen.
    """
    default = question.spec["default"]
    facts = [state.questions[question.name]["default"] for state in STATES if question.name in state.questions]
    return (
        default == "auto"
        or "rendered_before" in str(default)
        or question.name in HAD
        or (bool(facts) and set(map(str, facts)) == {str(default)})
    )


def test_a_question_that_no_state_knows_says_what_a_service_has() -> None:
    """
    A new question is refused without such a default.
    """
    known = {name for state in STATES for name in state.asked}
    for question in questions.questions():
        if not question.is_fact and question.name not in known:
            assert is_neutral(question), f"{question.name}: what has a service that was not asked? See CONTRIBUTING.md"
    assert not is_neutral(Question("telemetry", "x", {"default": "otlp"}))
    assert is_neutral(Question("telemetry", "x", {"default": "{{ 'none' if rendered_before else 'otlp' }}"}))
    assert is_neutral(Question("backlog", "x", {"default": 2048}))
    assert not is_neutral(Question("backlog", "x", {"default": 4096}))


def test_a_default_that_brings_something_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The check bites: `targets` with the default of a new service is refused, and so is a new option that is on.
    """
    stored = answered(STATES[0], {})
    (targets,) = (question for question in questions.questions() if question.name == "targets")
    assert not list(brought(targets, stored))
    unasked = Question("targets", "vm", {**targets.spec, "default": ["vm", "image"]})
    telemetry = Question("telemetry", "x", {"type": "str", "choices": ["none", "otlp"], "default": "otlp"})
    has = Question("has_telemetry", "x", {"type": "bool", "when": False, "default": "{{ telemetry == 'otlp' }}"})
    listed = [unasked if question is targets else question for question in questions.questions()]
    monkeypatch.setattr(questions, "questions", lambda: (*listed, telemetry, has))
    assert {"has_vm", "has_image"} <= set(brought(unasked, stored))
    assert set(brought(telemetry, stored)) == {"has_telemetry"}


@pytest.mark.parametrize(("state", "chosen"), cases())
def test_stored_answers_lead_to_the_same_facts_given_or_stored(state: State, chosen: Mapping[str, Any]) -> None:
    """
    An update renders twice: with what is stored, and with all that followed from it. Both have to agree.
    """
    stored = answered(state, chosen)
    values = questions.evaluate(stored)
    complete = {q.name: values[q.name] for q in questions.questions() if not q.is_fact and q.is_asked(values)}
    assert questions.facts(complete) == questions.facts(stored)
    assert values["rendered_before"]


def test_a_new_service_is_none_that_was_rendered_before() -> None:
    """
    Some answers may be given in advance: only all that the first state stored make a service of them.
    """
    assert not questions.evaluate({})["rendered_before"]
    assert not questions.evaluate({"ci": "gitlab", "python_version": "3.13"})["rendered_before"]
    assert questions.evaluate({})["targets"] == ["vm", "image"]
    names = set(answered(STATES[0], {}))
    for state in STATES:
        for chosen in SETS:
            assert names <= set(answered(state, chosen)), "what every state stored, whatever else was answered"
    default = next(question.spec["default"] for question in questions.questions() if question.name == "rendered_before")
    assert set(default.replace("{{", "").replace("}}", "").split()) - {"is", "defined", "and"} == names


@pytest.mark.parametrize("state", STATES, ids=str)
def test_what_a_state_took_is_taken_today(state: State) -> None:
    """
    Copier drops a stored answer that is refused, and puts the default in its place without a word.
    """
    today = {question.name: question for question in questions.questions()}
    for name, spec in state.asked.items():
        assert name in today, f"{name} was asked: an alias has to carry the answer over"
        choices = spec.get("choices", ())
        assert set(choices.values() if isinstance(choices, dict) else choices) <= set(today[name].choices), name
        assert today[name].spec.get("type") == spec.get("type"), name
        if name not in STRICTER:
            assert today[name].spec.get("validator", "") == spec.get("validator", ""), name


@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_name_that_was_free_stays_the_service_s(state: State) -> None:
    """
    Names were reserved since, for machines and databases: a service that has one is updated under it.
    """
    reserved = set(str(questions.evaluate({})["reserved_slugs"]).split())
    free = reserved - set(str(state.questions["reserved_slugs"]["default"]).split())
    assert len(free) > 200 or state is not STATES[0], "otherwise this says nothing"
    for name in free:
        stored = answered(state, {"project_slug": name})
        assert questions.evaluate(stored)["project_slug"] == name
        complete = {k: v for k, v in questions.evaluate(stored).items() if k in state.asked or k == "targets"}
        assert questions.evaluate(complete)["project_slug"] == name, "as the update's second rendering has it"


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("grafana", "vm", "Take vm out"),
        ("template0", "container", "Take container out"),
    ],
)
def test_a_name_that_would_do_harm_keeps_the_target_out(name: str, target: str, message: str) -> None:
    """
    On a machine, and as a database, such a name is somebody else's: the target is refused, with the reason.
    """
    stored = answered(STATES[0], {"project_slug": name})
    with pytest.raises(questions.InvalidAnswer, match=message):
        questions.evaluate({**stored, "targets": [target]})
    for other in ("image", "kubernetes"):
        assert questions.evaluate({**stored, "targets": [other]})["project_slug"] == name
    with pytest.raises(questions.InvalidAnswer, match="Type another"):
        questions.evaluate({"project_slug": name, "targets": []})


def leaving() -> set[str]:
    """
    The files that services of a published state may have and the template has not any more.
    """
    return {path for state in STATES for path in state.paths - TODAY}


def test_what_leaves_is_said_before_an_update() -> None:
    """
    An update takes a file that the template no longer has, edits included: the message names it, and so does the
    document with the recipe.
    """
    message = yaml.safe_load((questions.ROOT / "copier.yml").read_text().split("\n---\n")[0])["_message_before_update"]
    section = (questions.ROOT / "docs" / "updating.md").read_text().split("## Files that leave\n")[1].split("\n## ")[0]
    listed = re.findall(r"^- `(.+?)`$", section, re.M)
    assert [path for path in leaving() if not path.startswith(tuple(listed))] == []
    recipe = re.search(r"^git ls-files (.*?) \|", section, re.M | re.S)
    assert recipe
    for path in listed:
        assert any(old.startswith(path) for state in STATES for old in state.paths), f"{path} never was in a service"
        assert path in message, path
        assert path.removesuffix("/") in recipe[1].split(), path
