"""
The two pictures: their numbers are those that the service has, and the repository shows those of the default.
"""

from __future__ import annotations

import os
import re
from xml.etree import ElementTree

import pytest

from tests.support import questions
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, each_value, named, variants

#: Each picture, and the numbers it has to show.
PICTURES = {
    "request": {
        "proxy_read_seconds",
        "backlog",
        "HEARTBEAT_SECONDS",
        "request_seconds",
        "dependency_seconds",
        "lame_duck_seconds",
        "closing_seconds",
        "unit_graceful_seconds",
        "unit_stop_seconds",
    },
    "deploy": {"GATE_SECONDS", "unit_graceful_seconds"},
}
SVG = "{http://www.w3.org/2000/svg}"


def numbers(project: Project) -> dict[str, str]:
    """
    The numbers that a picture may have: facts, and constants of the code.
    """
    facts = project.facts
    closing = facts["unit_graceful_seconds"] - facts["lame_duck_seconds"] - facts["request_seconds"]
    found = {name: str(value) for name, value in facts.items() if isinstance(value, int)}
    found |= {"closing_seconds": str(closing), "dependency_seconds": str(facts["database_seconds"])}
    (found["HEARTBEAT_SECONDS"],) = re.findall(r"^# HEARTBEAT_SECONDS=(\d+)$", project.read(".env.example"), re.M)
    (found["GATE_SECONDS"],) = re.findall(r"^GATE_SECONDS, \w+ = (\d+),", project.read("deploy/host.py"), re.M)
    return found


@variants(each_value)
@pytest.mark.parametrize("picture", PICTURES)
def test_the_numbers_of_a_picture_are_those_of_the_service(projects: Projects, variant: Variant, picture: str) -> None:
    """
    A number is marked with its name; a time that is not marked could be wrong unseen.
    """
    project = projects.render(variant)
    path = project / f"docs/pictures/{picture}.svg"
    assert path.exists() == variant.facts["has_vm"]
    if not path.exists():
        return
    root, expected, shown = ElementTree.parse(path).getroot(), numbers(project), set()
    for number in root.iter(f"{SVG}tspan"):
        name = number.attrib["class"].split()[0]
        assert number.text == expected[name], name
        shown.add(name)
    assert shown == PICTURES[picture]
    plain = [text for element in root.iter(f"{SVG}text") for text in (element.text, *(each.tail for each in element))]
    assert not [text for text in plain if re.search(r"\d+ s\b", text or "")]


@pytest.mark.parametrize("picture", PICTURES)
def test_the_repository_shows_the_pictures_of_the_default(projects: Projects, picture: str) -> None:
    """
    docs/pictures/ is what the default renders; ACCEPT=1 writes it.
    """
    rendered = projects.render(named("default")).read(f"docs/pictures/{picture}.svg")
    shown = questions.ROOT / f"docs/pictures/{picture}.svg"
    if os.environ.get("ACCEPT"):
        shown.write_text(rendered, encoding="utf-8")
    assert shown.read_text(encoding="utf-8") == rendered


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_is_text_for_light_and_dark_and_for_a_phone(picture: str) -> None:
    """
    No outlines and no fonts of its own; small text is 11 pixels on a screen that is 358 wide.
    """
    text = (questions.ROOT / f"docs/pictures/{picture}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert len(list(root.iter(f"{SVG}text"))) > 10
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"@font-face|@import|url\(|<image|<use|base64", text)
    sizes = [int(size) for size in re.findall(r"(?:font|font-size): (\d+)px", text)]
    assert min(sizes) * 358 / int(root.attrib["width"]) >= 11
