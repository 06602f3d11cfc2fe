"""
The rendered documents: what they tell to type exists, and every page is reached.
"""

from __future__ import annotations

import json
import re
import shlex
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


# Parses each line as the tool would, in one process; prints what argparse said of those that it refuses.
PARSED = """
import contextlib, io, json, sys
sys.path.insert(0, "deploy/release")
from release import cli
parser = cli._parser({verb: cli._command(verb) for verb in cli.VERBS})
refused = {}
for line in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            parser.parse_args(line)
        except SystemExit:
            refused[" ".join(line)] = said.getvalue()
print(json.dumps(refused))
"""


def lines_of_the_tool(project: Project) -> list[list[str]]:
    """
    What the documents give the release tool, word by word; those of make as its own dry run prints them.
    """
    text = code("\n".join(documents(project).values())).replace("\\\n", " ")
    direct = re.findall(r"python3 (?:deploy/release|\S+/release\.pyz) ([^\n]*)", text)
    verbs = re.findall(r"^([a-z]+): .*\n\t(?:.*\n\t)*@\$\(release\)", project.read("scripts/deploy.mk"), re.M)
    for line in re.findall(rf"\bmake ((?:{'|'.join(verbs)})(?: [^\n]*)?)(?=\n|$)", text):
        words = [word.replace("$HOST", "root@203.0.113.7") for word in shlex.split(line, comments=True)]
        if words in (["maintenance"], ["secret"]):
            continue
        printed = project.run("make", "--dry-run", "--no-print-directory", *words).stdout
        direct += re.findall(r"python3 deploy/release ([^\n]*)", printed)
    return [shlex.split(line, comments=True) for line in direct]


@pytest.mark.parametrize(
    "variant",
    [named("default"), of(proxy="caddy"), of(proxy="traefik"), of(database="sqlite", proxy="none")],
    ids=str,
)
def test_commands_of_the_release_tool_are_accepted(projects: Projects, variant: Variant) -> None:
    """
    Every line with the release tool, and every target that stands for one, is one that its own parser takes.
    """
    project = projects.render(variant)
    lines = lines_of_the_tool(project)
    assert {"setup", "deploy", "exec", "tls", "maintenance", "secret"} <= {word for line in lines for word in line}
    done = project.run(sys.executable, "-c", PARSED, input=json.dumps(lines))
    assert json.loads(done.stdout) == {}


@variants(pairwise)
def test_documents_that_are_named_exist(projects: Projects, variant: Variant) -> None:
    """
    A file that says `docs/something.md` means one of this project.
    """
    project = projects.render(variant)
    named_by = {
        (name, target)
        for name in project.tree()
        for target in re.findall(r"(?<![\w.])docs/[\w-]+\.md", re.sub(r"https?://\S+", "", project.read(name)))
    }
    assert not {(name, target) for name, target in named_by if not (project / target).exists()}


@pytest.mark.parametrize("make", ["maintenance", "secret"])
def test_make_says_what_is_missing(projects: Projects, make: str) -> None:
    """
    Without the one word that it needs, the target says what to type.
    """
    project = projects.render(named("default"))
    done = project.run("make", make, check=False)
    assert done.returncode == 2
    assert f"make {make} " in done.stdout.splitlines()[0]


def test_an_exported_host_is_not_the_target(projects: Projects) -> None:
    """
    Some shells export HOST, this machine's own name; only what is given to make is deployed to.
    """
    project = projects.render(named("default"))
    assert "--host" not in project.run("make", "--dry-run", "deploy", env={"HOST": "laptop"}).stdout
    assert "--host here" in project.run("make", "--dry-run", "deploy", "HOST=here", env={"HOST": "laptop"}).stdout


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
