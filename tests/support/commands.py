"""
Commands that are written down, in documents and in messages, held against what they call.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from tests.support.project import Project

#: In the place of deploy/remote and deploy/build: says with which words it was called.
RECORDER = """\
#!/bin/sh
printf called
printf '\\t%s' "${0##*/}" "$@"
echo
"""
#: What a person fills in.
FILLED = {"HOST": "root@203.0.113.7", "FILE": "dist/release.tar.gz"}
#: What ends a command, and begins the next one or a comment.
ENDS = {"&&", "||", "|", ";", ")", "#"}
#: What the documents have systemctl do.
VERBS = {"daemon-reload", "disable", "edit", "enable", "reload", "restart", "show", "start", "status", "stop"}


def typed(text: str) -> list[str]:
    """
    The commands in a Markdown document: lines that are indented or fenced, and text between backticks.
    """
    text = text.replace("\\\n", " ")
    fenced = [line for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    indented = re.findall(r"^    (.*)$", text, re.M)
    return [line.strip() for line in [*fenced, *indented, *re.findall(r"`([^`\n]+)`", text)]]


def said(text: str) -> list[str]:
    """
    The commands in a file that is not a document: in quotes, after a colon, or after "run".
    """
    return re.findall(r"""(?:[`"'(:#] ?|\brun )((?:make [a-z]|deploy/\w+ |/opt/)[^`"'\n]*)""", text)


def words(command: str) -> list[str]:
    """
    The words of a command up to its end, without what is redirected; of prose, as far as it can be split.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    found: list[str] = []
    with contextlib.suppress(ValueError):
        for word in lexer:
            if word in ENDS or word.startswith(("<", ">")):
                break
            found.append(word)
    return found


class Commands:
    """
    The commands that a project has: its make targets, the scripts of `deploy/`, its program on the host, its units.
    """

    def __init__(self, project: Project, folder: Path, *, more: Path | None = None) -> None:
        # Only what is called: the documents are read where they are.
        for name in ("scripts", "deploy"):
            if (project / name).is_dir():
                shutil.copytree(project / name, folder / name)
        shutil.copy(project / "Makefile", folder)
        self.project = Project(folder, project.variant, environment=project.venv)
        self.slug = str(project.facts["project_slug"])
        for name in ("remote", "build"):
            if (folder / "deploy").is_dir():
                (folder / "deploy" / name).write_text(RECORDER)
                (folder / "deploy" / name).chmod(0o755)
        self._more = [more / "Makefile"] if more else []

    def faults(self, commands: list[str]) -> list[str]:
        """
        Say what is wrong with each command that calls one of these.
        """
        program = rf"(?<![\w/])/opt/{self.slug}/release(?= [a-z-])"
        checks: dict[str, Callable[[str], Iterator[str]]] = {
            r"(?<![\w/.-])make(?= [a-z])": self.make,
            r"(?<![\w/])deploy/(?:remote|build)\b(?!\.)": self.deploy,
            program: self.on_the_host,
            r"\bsystemctl\b": self.systemctl,
        }
        return [
            f"{command!r}: {fault}"
            for command in commands
            for pattern, check in checks.items()
            for match in re.finditer(pattern, command)
            for fault in check(command[match.start() :].replace("$slug", self.slug))
        ]

    # make

    @cached_property
    def recipes(self) -> dict[str, str]:
        """
        Target → what it runs, with the variables and scripts in it.
        """
        parts = [self.project / "Makefile", *sorted((self.project / "scripts").glob("*.mk")), *self._more]
        found = {}
        for part in parts:
            text = part.read_text(encoding="utf-8")
            assigned = dict(re.findall(r"^(\w+) = (.*)$", text, re.M))
            for target, recipe in re.findall(r"^([a-z][a-z-]*):(?!=).*\n((?:\t.*\n|\n(?=\t))*)", text, re.M):
                for name in re.findall(r"\$\((\w+)\)", recipe):
                    recipe += assigned.get(name, "")
                for script in re.findall(r"(?:scripts|deploy)/[\w/-]+", recipe):
                    if (part.parent / script).is_file() or (self.project / script).is_file():
                        path = self.project / script if (self.project / script).is_file() else part.parent / script
                        recipe += path.read_text(encoding="utf-8")
                found[target] = recipe
        return found

    def make(self, command: str) -> Iterator[str]:
        """
        Targets and their variables exist; a target that calls `deploy/remote` gives it words that it takes.
        """
        given = [word for word in words(command)[1:] if "=" in word]
        # What follows may be the rest of a sentence.
        for target in words(command)[1:2]:
            if target not in self.recipes:
                yield f"there is no make {target}"
                continue
            for variable in (word.partition("=")[0] for word in given):
                if not re.search(rf"\b{variable}\b", self.recipes[target]):
                    yield f"make {target} knows no {variable}"
            # Without a name it says that one is needed: tested on its own.
            if "deploy/remote" in self.recipes[target] and (target != "secret" or "NAME" in command):
                yield from self.called(shlex.join(words(command.replace("$HOST", FILLED["HOST"]))))

    # deploy/remote and deploy/build

    def deploy(self, command: str) -> Iterator[str]:
        """
        Let a shell read the command, and judge the words that arrive.
        """
        if len(words(command)) > 1:
            # As it is written, up to where it ends: the quotes are part of what is judged.
            end = re.search(r" [<>|;&#]|\)", re.sub(r"""("[^"]*"|'[^']*')""", lambda it: "." * len(it[0]), command))
            yield from self.called(command[: end.start()] if end else command)

    def called(self, command: str) -> Iterator[str]:
        """
        Judge the words with which a command calls one of the two scripts.
        """
        done = self.project.run("sh", "-c", command.replace("…", FILLED["HOST"]), env=FILLED, check=False, input="")
        calls = [line.split("\t")[1:] for line in done.stdout.splitlines() if line.startswith("called\t")]
        if not calls:
            yield f"it calls nothing: {done.stdout.strip()}"
        for script, *rest in calls:
            yield from self.build(rest) if script == "build" else self.remote(rest)

    def build(self, given: list[str]) -> Iterator[str]:
        """
        `deploy/build` takes nothing, or a version of Python and a kind of machine.
        """
        if given and not re.fullmatch(r"3\.\d+ (x86_64|aarch64)", " ".join(given)):
            yield f"deploy/build {' '.join(given)}: no PYTHON MACHINE"

    def remote(self, given: list[str]) -> Iterator[str]:
        """
        `deploy/remote` takes hosts, then `setup`, `deploy` with or without a file, or a command of the program.
        """
        hosts, command, *rest = (*given, "", "")[: max(2, len(given))]
        if not hosts or not command:
            yield "deploy/remote takes hosts and a command"
        elif command == "setup":
            if len(rest) > (2 if self.project.facts["has_edge"] else 0) and any(rest):
                yield f"deploy/setup does not take {' '.join(rest)}"
        else:
            if command == "deploy":
                rest = ["NAME", *(rest[1:] if rest and not rest[0].startswith("-") else rest)]
            yield from self.parsed([command, *rest])

    # The program on the host

    @cached_property
    def program(self) -> Callable[[], object]:
        """
        Its own reader of the command line.
        """
        loader = SourceFileLoader("host", str(self.project / "deploy/host.py"))
        spec = spec_from_loader("host", loader)
        assert spec
        module = module_from_spec(spec)
        loader.exec_module(module)
        read: Callable[[], object] = module.arguments
        return read

    def on_the_host(self, command: str) -> Iterator[str]:
        """
        The commands that are typed on the machine.
        """
        yield from self.parsed(words(command)[1:])

    def parsed(self, given: list[str]) -> Iterator[str]:
        """
        Let the program read the words; say what it objects to.
        """
        before, sys.argv = sys.argv, ["release", *given]
        try:
            with contextlib.redirect_stderr(io.StringIO()) as refused, contextlib.redirect_stdout(io.StringIO()):
                self.program()
        except SystemExit as end:
            if end.code:
                yield refused.getvalue().strip().splitlines()[-1]
        finally:
            sys.argv = before

    # Units

    @cached_property
    def units(self) -> set[str]:
        """
        The units that set-up installs.
        """
        places = [*self.project.path.glob("deploy/systemd/*"), *self.project.path.glob("deploy/traefik/*.service")]
        names = [path.name for path in places if path.name != "traefik.service"]
        return {
            self.slug + (name.removeprefix("service") if name.startswith("service") else f"--{name}") for name in names
        }

    def systemctl(self, command: str) -> Iterator[str]:
        """
        It does what systemctl can do, and a name without a suffix is a service.
        """
        verb, *names = [*(word for word in words(command)[1:] if not word.startswith("-")), ""]
        if verb and verb not in VERBS:
            yield f"systemctl has no {verb}"
        for name in names:
            if re.fullmatch(rf"{self.slug}[a-z-]*", name) and f"{name}.service" not in self.units:
                yield f"there is no unit {name}.service"

    def unknown_units(self, text: str) -> set[str]:
        """
        Return the units of this service that a text names and that nothing installs; and identifiers nobody logs with.
        """
        text = re.sub(r"\$\{?slug\}?", self.slug, text)
        unit = rf"(?<![\w.@-]){self.slug}(?:-[\w-]*)?(?:@[\w*]*(?:\.service)?|\.(?:service|socket|target))(?![\w(])"
        found = {re.sub(r"@.*", "@.service", name) for name in re.findall(unit, text)}
        logged = {
            name
            for path in self.project.path.glob("deploy/*/*.service")
            for name in re.findall(r"^SyslogIdentifier=(.*)", path.read_text(encoding="utf-8"), re.M)
        }
        asked = set(re.findall(r"journalctl[^\n`]* -t ([\w-]+)", text))
        return (found - self.units) | (asked - logged)
