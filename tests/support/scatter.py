"""
The uses of each option in the template: the scatter table, and its budget.

An option is a question together with the facts of its feature document. `make scatter` prints the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support import questions

TEMPLATE = questions.ROOT / "template"
#: Files an option may be used in, its feature document included.
FILES = 6
#: Uses beyond that, each with its reason: a worse file is never rendered to satisfy the budget.
EXCEPTIONS = {
    ("database", "features/identity.yml"): "whether a service was rendered before is told by what it has stored",
    ("database", "features/example.yml"): "the example is another one where there is a database",
    ("database", "features/rate_limit.yml"): "whether a service has any feature at all is known when all are",
    ("python_version", "features/identity.yml"): "whether a service was rendered before is told by what it has stored",
    (
        "database",
        "README.md.jinja",
    ): "a deployment sets a variable and migrates first; a command that fails helps nobody",
    (
        "database",
        "deploy/systemd/service@.service.jinja",
    ): "a server on the same machine is stopped after the service, so that it can drain",
    ("database", "deploy/environment.jinja"): "the first environment of a host names where the data is",
    ("database", "deploy/oxmgr/README.md.jinja"): "a deploy that is typed by hand has to say that it migrates",
    ("database", "docs/production.md.jinja"): "the walk-through says what this service needs before its first deploy",
    (
        "database",
        "docs/runbook.md.jinja",
    ): "a failed migration, and a deploy while the database is away, are for who is paged",
    (
        "database",
        "features/container.yml",
    ): "what the image's document says, and what gets into the image, depend on it",
    ("database", "features/kubernetes.yml"): "so does what comes before a rollout",
    ("database", "features/proxy.yml"): "what is said of the stack tells of the proxy and of the database at once",
    ("database", ".dockerignore.jinja"): "an allow-list names the migrations where there are some",
    ("database", "Dockerfile.jinja"): "an SQLite file needs its directory in the image",
    (
        "database",
        "compose.yaml.jinja",
    ): "the stack is one file to read: server, volume, secret and migration in their places",
    ("database", "deploy/kubernetes/base/kustomization.yaml.jinja"): "pools are sized against the number of pods there",
    ("database", "docs/compose.md.jinja"): "the walk-through says what it prepares and migrates",
    (
        "database",
        "docs/develop.md.jinja",
    ): "a migration and a stream are looked for where the rest is that developers add",
    ("database", "docs/image.md.jinja"): "a command that is typed by hand needs the URL, and the migrations before it",
    ("database", "docs/kubernetes.md.jinja"): "the walk-through names the secret and the migration",
    ("database", "compose.dev.yaml.jinja"): "in development the migrations run from an image of their own as well",
    ("proxy", "compose.yaml.jinja"): "the proxy of the stack is a service of it",
    ("proxy", "compose.dev.yaml.jinja"): "the overlay for development leaves the proxy out",
    ("proxy", "docs/compose.md.jinja"): "certificates and maintenance differ from proxy to proxy",
    ("domain", "compose.yaml.jinja"): "the default of a variable of the machine",
    ("domain", "deploy/kubernetes/gateway/route.yaml.jinja"): "the host name that the route is for",
    ("domain", "deploy/kubernetes/ingress/ingress.yaml.jinja"): "and the Ingress",
    ("domain", "deploy/kubernetes/overlays/staging/kustomization.yaml.jinja"): "and its neighbour in staging",
    ("domain", "docs/compose.md.jinja"): "the walk-through shows the domain",
    ("app_rate", "docs/compose.md.jinja"): "in containers it counts per container, which a reader has to know",
    ("app_rate", "deploy/compose/caddy/README.md.jinja"): "who counts, where this proxy cannot",
    ("python_version", "compose.yaml.jinja"): "a helper runs on the image's own base, which is there already",
    ("domain", "docs/kubernetes.md.jinja"): "the walk-through names the hosts",
    ("proxy", ".github/dependabot.yml.jinja"): "images that compose names are kept up to date where there are some",
    ("targets", "features/container.yml"): "each target has a document of its own",
    ("targets", "features/kubernetes.yml"): "each target has a document of its own",
    ("proxy", "docs/limits.md.jinja"): "a number is changed where it is kept, which differs from proxy to proxy",
    ("proxy", "docs/runbook.md.jinja"): "whoever is paged reads what this proxy logs and answers",
}
#: The files that hold guards. Everything else is whole: present or absent.
SEAMS = (
    ".env.example.jinja",
    "Dockerfile.jinja",
    "README.md.jinja",
    "app/main.py.jinja",
    "app/settings.py.jinja",
    "compose.yaml.jinja",
    "deploy/kubernetes/base/kustomization.yaml.jinja",
    "deploy/setup.jinja",
    "docs/develop.md.jinja",
    "pyproject.toml.jinja",
)
#: How many there may be.
SEAM_LIMIT = 10
#: The answers of this document may be used anywhere.
EXEMPT = "identity"
#: The numbers of this document stand in every file that carries a time: tests/render/test_budget.py compares them.
LADDER = "budget"

_GUARD = re.compile(r"# \{%.*?%\}", re.S)
_VALUE = re.compile(r"\{\{.*?\}\}", re.S)
_TEXT = re.compile(r'"[^"]*"|\'[^\']*\'')


@dataclass(frozen=True)
class Row:
    """
    One option: where it is used, and how often.
    """

    option: str
    files: tuple[str, ...]
    guards: int
    values: int


@cache
def templated() -> Mapping[str, str]:
    """
    The text of every file that is rendered and not merely copied, by its path in template/.
    """
    return {
        path.relative_to(TEMPLATE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(TEMPLATE.rglob("*.jinja"))
    }


def files() -> list[Path]:
    """
    Every file of the template, without what tools leave there.
    """
    litter = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".venv", "var", ".DS_Store"}
    return [path for path in sorted(TEMPLATE.rglob("*")) if path.is_file() and not litter & set(path.parts)]


def guards(text: str) -> list[str]:
    return _GUARD.findall(text)


def values(text: str) -> list[str]:
    return _VALUE.findall(text)


def mentions(expression: str, names: Iterable[str]) -> bool:
    """
    Tell whether an expression uses one of the names; texts within it do not count.
    """
    bare = _TEXT.sub("", expression)
    return any(re.search(rf"\b{name}\b", bare) for name in names)


def expressions(entry: object) -> list[str]:
    """
    Every Jinja expression and guard in a part of a feature document.
    """
    if isinstance(entry, str):
        return guards(entry) + values(entry)
    if isinstance(entry, Mapping):
        entry = list(entry.values())
    return [found for part in entry for found in expressions(part)] if isinstance(entry, list) else []


def options() -> Mapping[str, tuple[str, ...]]:
    """
    Each option with the names that stand for it in templates: itself, and the facts derived from it.

    A fact belongs to the questions its default names, directly or through other facts: to those of its own document if
    there are any, for they are what decides. Constants belong to none.
    """
    found: dict[str, set[str]] = {}
    origins: dict[str, set[str]] = {}
    documents = {question.name: question.document for question in questions.questions()}
    for question in questions.questions():
        if question.document == EXEMPT:
            continue
        if not question.is_fact:
            origins[question.name] = {question.name}
            found[question.name] = {question.name}
            continue
        default = str(question.spec["default"])
        owners = {o for name, of in origins.items() if mentions(default, [name]) for o in of}
        owners = {owner for owner in owners if documents[owner] == question.document} or owners
        origins[question.name] = owners
        for owner in owners:
            found[owner].add(question.name)
    return {option: tuple(sorted(names)) for option, names in found.items()}


def owned(names: Iterable[str]) -> tuple[str, ...]:
    """
    The files and folders that come and go with an option: they are its own.
    """
    return tuple(
        line.removeprefix("/")
        for entries in questions.documents().values()
        for entry in entries.get("_exclude", [])
        if any(mentions(guard, names) for guard in guards(entry))
        for line in entry.splitlines()
        if line.startswith("/")
    )


def table() -> list[Row]:
    """
    One row per option, the most scattered first. Its own files do not count.
    """
    rows = []
    for option, names in options().items():
        document = next(q.document for q in questions.questions() if q.name == option)
        files = [f"features/{document}.yml"]
        # A feature may name another one in what it owns.
        files += [
            f"features/{other}.yml"
            for other, entries in questions.documents().items()
            if other != document and any(mentions(found, names) for found in expressions(entries))
        ]
        guarded = valued = 0
        # What a document owns belongs to all of its options: the rate at the edge stands in the proxy's files.
        siblings = [o for o in options() if any(q.name == o and q.document == document for q in questions.questions())]
        own = owned([name for sibling in siblings for name in options()[sibling]])
        for path, text in templated().items():
            in_guards = sum(mentions(guard, names) for guard in guards(text))
            in_values = sum(mentions(value, names) for value in values(text))
            guarded += in_guards
            valued += in_values
            if (in_guards or in_values) and not f"{path.removesuffix('.jinja')}/".startswith(
                tuple(f"{o}/" for o in own)
            ):
                files.append(path)
        rows.append(Row(option, tuple(files), guarded, valued))
    return sorted(rows, key=lambda row: (-len(row.files), row.option))


def density() -> tuple[int, int]:
    """
    Lines in template/, and block tags among them.
    """
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files())
    return lines, sum(len(guards(text)) for text in templated().values())


def printed() -> str:
    """
    The table as text.
    """
    lines, tags = density()
    out = ["option           files  guards  values  where"]
    for row in table():
        out.append(
            f"{row.option:<16} {len(row.files):5}  {row.guards:6}  {row.values:6}  {' '.join(map(_short, row.files))}"
        )
    out.append(f"\nseams: {len(SEAMS)} of at most {SEAM_LIMIT}: {' '.join(SEAMS)}")
    out.append(f"a block tag every {lines // max(tags, 1)} lines ({tags} in {lines})")
    return "\n".join(out)


def _short(path: str) -> str:
    return str(Path(path)).removesuffix(".jinja")


if __name__ == "__main__":
    print(printed())
