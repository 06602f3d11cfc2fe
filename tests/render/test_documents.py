"""
The rendered documents: what they tell to type exists, and every page is reached.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support import questions
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, named, of, pairwise, variants


def documents(project: Project) -> dict[str, str]:
    """
    Every Markdown file of a project, by its path.
    """
    return {name: project.read(name) for name in project.tree() if name.endswith(".md")}


def code(text: str) -> str:
    """
    The parts of a document that are meant to be typed: indented lines, and what stands between backticks.
    """
    rest = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    return "\n".join([rest, *re.findall(r"`([^`\n]+)`", text)])


@variants(pairwise)
def test_commands_of_make_exist(projects: Projects, variant: Variant) -> None:
    """
    Every `make something` of the documents is a target of this project.
    """
    project = projects.render(variant)
    known = set(re.findall(r"make ([a-z-]+)", project.run("make", "help").stdout))
    used = {
        (name, verb)
        for name, text in documents(project).items()
        for verb in re.findall(r"\bmake ([a-z][a-z-]*)", code(text))
    }
    assert not {(name, verb) for name, verb in used if verb not in known}


# Says of every verb what it takes, in one process.
OFFERED = """
import contextlib, io, json, sys
sys.path.insert(0, "deploy/release")
from release import cli
found = {}
for verb in cli.VERBS:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        cli.main([verb, "--help"])
    found[verb] = said.getvalue()
print(json.dumps(found))
"""


@pytest.mark.parametrize("variant", [named("default"), of(database="sqlite", proxy="none")], ids=str)
def test_commands_of_the_release_tool_exist(projects: Projects, variant: Variant) -> None:
    """
    Every verb and every option that the documents give it is one that it takes.
    """
    project = projects.render(variant)
    text = code("\n".join(documents(project).values()))
    called = re.findall(r"(?:deploy/release|release\.pyz) ([a-z]+)([^\n]*)", text)
    called += re.findall(r"\bmake (\w+)[^\n]* ARGS=(\S+)", text)
    done = project.run(sys.executable, "-c", OFFERED)
    offered = json.loads(done.stdout)
    assert {verb for verb, _ in called} <= set(offered)
    for verb, words in called:
        options = re.findall(r"(?<!\S)(--[a-z-]+)", words.split(" -- ")[0].split("#")[0])
        assert not [option for option in options if option not in offered[verb]], f"{verb} {words}"


@variants(pairwise)
def test_every_page_is_reached(projects: Projects, variant: Variant) -> None:
    """
    Whoever begins with the README finds every other page by its links.
    """
    project = projects.render(variant)
    pages = documents(project)
    reached, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for target in re.findall(r"\]\(([^):#]+)", pages[name]):
            path = Path(project / name).parent.joinpath(target).resolve().relative_to(project.path.resolve()).as_posix()
            if path in pages and path not in reached:
                waiting.append(path)
    assert set(pages) - reached - {"AGENTS.md", "CHANGELOG.md"} == set()


@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        ("api.example.com", "api.your-company.com"),
        ("example.com", "api.your-company.com"),
        ("shop.acme.io", "shop.acme.io"),
        ("notexample.com", "notexample.com"),
    ],
)
def test_the_walk_through_shows_no_domain_that_is_refused(projects: Projects, domain: str, shown: str) -> None:
    """
    The set-up refuses example.com, so a line with it could not be typed.
    """
    assert questions.evaluate({"domain": domain})["shown_domain"] == shown
    text = projects.render(named("default")).read("docs/production.md")
    assert "DOMAIN=api.your-company.com " in text
    assert "example.com" not in text
