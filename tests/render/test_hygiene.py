"""
Rendered files look hand-written: they parse, are formatted, and show no trace of the template.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, pairwise, variants


@variants(pairwise)
def test_files_are_tidy(projects: Projects, variant: Variant) -> None:
    """
    Text in UTF-8, one final newline, no trailing blanks, no runs of empty lines, no tag left over.
    """
    project = projects.render(variant)
    faults = [f"{name}: {fault}" for name in project.tree() for fault in untidy(name, project.read(name))]
    assert not faults, "\n".join(faults)


def untidy(name: str, text: str) -> list[str]:
    """
    Faults in the look of a text.
    """
    if name.endswith(".md"):
        # The code in it keeps the rules of code.
        text = re.sub(r"^```python\n(.*?)^```$", lambda it: re.sub(r"\n{3}", "\n\n", it[0]), text, flags=re.M | re.S)
    # Some files only have to be there.
    if not text:
        return [] if name.endswith(("__init__.py", ".gitkeep", "py.typed")) else ["empty"]
    rules = {
        "no final newline": not text.endswith("\n"),
        "ends in empty lines": text.endswith("\n\n"),
        "begins with an empty line": text.startswith("\n"),
        "three empty lines": "\n\n\n\n" in text,
        "two empty lines": not name.endswith((".py", ".pyi", ".mako"))
        and "\n\n\n" in text
        and "/usr/bin/env python" not in text,
        "trailing blanks": re.search(r"[ \t]\n", text) is not None,
        "carriage returns": "\r" in text,
        "a tag left over": re.search(r"\{% | %\}", text) is not None and not name.endswith(".mako"),
        "a value left over": re.search(r"\{\{ ?(has_|project_|_copier)", text) is not None,
    }
    return [fault for fault, present in rules.items() if present]


@variants(pairwise)
def test_files_parse(projects: Projects, variant: Variant) -> None:
    """
    Every file is valid for what its name says it is.
    """
    project = projects.render(variant)
    for name in project.tree():
        try:
            parse(project, name)
        except Exception as error:
            error.add_note(f"{name} of {variant.id}: {project.reproduce}")
            raise


def parse(project: Project, name: str) -> None:
    text = project.read(name)
    match Path(name).suffix:
        case ".py":
            ast.parse(text)
        case ".toml":
            tomllib.loads(text)
        case ".yml" | ".yaml":
            yaml.safe_load(text)
        case ".json":
            json.loads(text)
        case ".service" | ".socket" | ".target":
            unit(text)
        case ".ini":
            configparser.ConfigParser(interpolation=None).read_string(text)
        case _ if text.startswith("#!/bin/sh"):
            subprocess.run(["sh", "-n", project / name], check=True)
        case _ if text.startswith("#!"):
            assert "python" in text.splitlines()[0]
            ast.parse(text)


def unit(text: str) -> None:
    """
    Sections, assignments and comments: what systemd reads. Whether it accepts them is for the vm tier.
    """
    rest = [line for line in text.splitlines() if line and not re.match(r"#|\[[A-Z]\w+\]$|[A-Z]\w+=", line)]
    assert not rest


@variants(pairwise)
def test_imports_resolve(projects: Projects, variant: Variant) -> None:
    """
    No module imports one that belongs to a feature that is off.
    """
    project = projects.render(variant)
    missing = [
        f"{name}: {module}"
        for name in project.tree()
        if name.endswith(".py")
        for node in ast.walk(ast.parse(project.read(name)))
        if isinstance(node, ast.ImportFrom) and node.module
        for module in [node.module]
        if module.split(".")[0] in {"app", "serving", "tests"}
        and not (project / f"{module.replace('.', '/')}.py").exists()
        and not (project / module.replace(".", "/")).is_dir()
    ]
    assert not missing


@variants(pairwise)
def test_scripts_are_executable(projects: Projects, variant: Variant) -> None:
    """
    A file that begins with #! can be run, and runs on macOS's old bash too, unless it runs in a container or on the host.
    """
    project = projects.render(variant)
    for name in project.tree():
        text = project.read(name)
        assert text.startswith("#!") == bool((project / name).stat().st_mode & 0o111), name
        elsewhere = re.match(r"deploy/(compose/\w+/|\w+/install$|setup$)", name)
        if not elsewhere and text.startswith(("#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash")):
            assert not re.search(r"\$\{\w+@|mapfile|readarray|\$\{\w+(,,|\^\^)|sed -i |readlink -f|grep -P", text), name


@variants(pairwise)
def test_make_knows_exactly_the_scripts(projects: Projects, variant: Variant) -> None:
    """
    Every script has its make target with a line of help; every target that calls a script finds it. What deploys is one
    program whose verbs are targets; those of containers are Compose's own, and programs beside their files.
    """
    project = projects.render(variant)
    done = project.run("make", "help")
    targets = set(re.findall(r"make ([a-z-]+)", done.stdout))
    scripts = {path.name for path in (project / "scripts").iterdir() if not path.suffix and path.is_file()}
    verbs = {"setup", "deploy", "rollback", "restart", "status", "secret"} if variant.facts["has_vm"] else set()
    if variant.facts["has_compose"]:
        verbs |= {"up", "down", "rollout", "compose-dev"}
    assert targets - scripts - verbs == {"help", "lock"}
    assert scripts - targets == set()


@variants(pairwise)
def test_ruff_has_nothing_to_do(projects: Projects, variant: Variant) -> None:
    """
    Its own linter finds nothing, its own formatter changes nothing.
    """
    project = projects.render(variant)
    for command in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache"], cwd=project.path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{done.stdout}\n{project.reproduce}"


@variants(pairwise)
def test_modules_are_small(projects: Projects, variant: Variant) -> None:
    """
    One noun per file: no module is longer than 250 lines. The program on the host is one file, read from top to bottom.
    """
    project = projects.render(variant)
    counted = {name: len(project.read(name).splitlines()) for name in project.tree() if name.endswith(".py")}
    assert not {name: lines for name, lines in counted.items() if lines > (630 if name == "deploy/host.py" else 250)}
