"""
Awkward text is refused with a message that says what to type, or shown as typed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml

from tests.support import questions
from tests.support.projects import Projects, render
from tests.support.variants import Variant

EXAMPLE = "For example: my-service"
TAKEN = "This name is taken"
ONE_LINE = "Type one line of printable text"

REFUSED = [
    *(
        ("project_slug", text, EXAMPLE)
        for text in (
            "",
            " ",
            "9lives",
            "-shop",
            "shop-",
            "my--shop",
            "My-Shop",
            "my_shop",
            "my shop",
            "my.shop",
            'my"shop',
            "my'shop",
            "café",
            "магазин",
            "shop🚀",
            "shop\n",
            "shop\nevil: true",
            "{{ shop }}",
            "${shop}",
            "shop%i",
            "../shop",
            "a" * 32,
            "a" * 200,
        )
    ),
    *(
        ("project_slug", text, TAKEN)
        for text in (
            "class",
            "match",
            "json",
            "asyncio",
            "site",
            "con",
            "nul",
            "aux",
            "prn",
            "com1",
            "lpt9",
            "root",
            "www-data",
            "postgres",
            "fastapi",
            "uvicorn-worker",
            "app",
            "serving",
            "localhost",
            "static",
            # <slug>.target, <slug>.socket, <slug>@.service and /etc/<slug> would be somebody else's.
            "network",
            "ssh",
            "getty",
            "apt",
            "staff",
        )
    ),
    ("project_name", "", "for example: My Service"),
    ("project_name", "   ", "for example: My Service"),
    ("project_name", "a" * 101, "At most 100"),
    ("project_name", "My\nService", ONE_LINE),
    ("project_name", "My\tService", ONE_LINE),
    ("project_name", "My\x00Service", ONE_LINE),
    ("project_name", "My\x7fService", ONE_LINE),
    ("project_name", "My\u2028Service", ONE_LINE),
    ("project_name", "My \u202eecivreS", ONE_LINE),
    ("project_name", " My Service", "Remove the spaces"),
    ("description", "", "Say in a few words"),
    ("description", "a" * 201, "At most 200"),
    ("description", "a\r\nb", ONE_LINE),
    ("database", "mysql", "is not in"),
    ("database", "PostgreSQL", "is not in"),
    ("ci", "jenkins", "is not in"),
    ("python_version", "3.10", "is not in"),
    *(("request_budget", text, "from 6 to 600") for text in ("5", "601", "30s", "1.5", "-30", "٣٠", "030", "30\n", "")),
    ("targets", ["vm", "mainframe"], "is not in"),
    ("supervisor", "runit", "is not in"),
    ("proxy", "apache", "is not in"),
    *(
        ("domain", text, "for example: api.example.com")
        for text in (
            "",
            "localhost",
            "https://api.example.com",
            "api.example.com/",
            "api.example.com:443",
            "API.example.com",
            "-api.example.com",
            "api..example.com",
            "api.example.com.",
            "192.0.2.1",
            "*.example.com",
            "a" * 64 + ".example.com",
            "api.example.com\n",
            "api example.com",
            "api.example.com;",
        )
    ),
    *(("edge_rate", text, "from 1 to 100000") for text in ("0", "none", "100001", "1.5", "-1", "10/s", "٣", "")),
    *(("app_rate", text, "from 1 to 100000") for text in ("0", "100001", "1.5", "-1", "off", "")),
    *(
        ("trusted_edges", text, "address ranges such as")
        for text in (
            "",
            "none",
            "*",
            "192.0.2.1",
            "192.0.2.0/33",
            "300.0.2.0/24",
            "192.0.2/24",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::/129",
            "010.0.0.0/8",
            "10.0.0.00/8",
            ":::/64",
            "1:2/64",
            "12345::/64",
            "1::2::/64",
            ":1::/64",
            "1:2:3:4:5:6:7/64",
            "1:2:3:4:5:6:7:8:9/64",
            "1:2:3:4::5:6:7:8/64",
            "192.0.2.0/24;",
            "192.0.2.0/24 198.51.100.0/24",
            "192.0.2.0/24,\n198.51.100.0/24",
        )
    ),
    *(("body_limit", text, "for example: 5 MiB") for text in ("0", "1023", "5 MB", "2048 MiB", "-1", "1e6", "5MiB\n")),
]

#: Text that has to come out as it went in: for people, TOML, YAML, Jinja, Python, shells and printf it looks special.
AWKWARD = [
    'Bob\'s "Shop" \\ Ünïcode',
    "Rocket 🚀 & Söhne",
    "{{ 1 + 1 }}",
    "# {% if x %}",
    "{% raw %}",
    "yes",
    "null",
    "1e3",
    "- a: [b]",
    "100 % of ${HOME} `id` $(id) %s %i",
    "#!/bin/sh",
    "'''triple\"\"\"",
    "магазин 店",
    "<script>alert(1)</script>",
    "x" * 100,
]


@pytest.mark.parametrize(("question", "text", "message"), REFUSED)
def test_refused(question: str, text: object, message: str) -> None:
    """
    A bad answer is refused, and the message says what to type instead.
    """
    with pytest.raises(questions.InvalidAnswer, match=message):
        questions.evaluate({question: text})


def test_copier_refuses_likewise(projects: Projects, tmp_path: Path) -> None:
    """
    The refusal is Copier's too, and nothing is rendered.
    """
    with pytest.raises(ValueError, match=TAKEN):
        render(projects.source, tmp_path / "out", {"project_slug": "class"})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Service", "my-service"),
        ("  Übergrößen-Träger GmbH ", "uebergroessen-traeger-gmbh"),
        ("Crème Brûlée", "creme-brulee"),
        ("Bob's Shop", "bobs-shop"),
        ("3 Musketeers", "musketeers"),
        ("Class", "class-service"),
        ("JSON", "json-service"),
        ("магазин", "my-service"),
        ("🚀", "my-service"),
        ("123", "my-service"),
        ("a" * 100, "a" * 31),
        ("abcdefghij klmnopqrst uvwxyzabc defg", "abcdefghij-klmnopqrst-uvwxyzabc"),
    ],
)
def test_the_slug_follows_from_the_name(name: str, slug: str) -> None:
    """
    The slug of any name is one that is accepted, so `--defaults` works with any name.
    """
    assert questions.evaluate({"project_name": name.strip()})["project_slug"] == slug


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_comes_out_as_typed(projects: Projects, text: str) -> None:
    """
    A name that is accepted is shown as typed: in the metadata, the API's title, the README and the stored answers.
    """
    project = projects.render(Variant("awkward", {"project_name": text, "description": f"{text} & more"}))
    assert tomllib.loads(project.read("pyproject.toml"))["project"]["description"] == f"{text} & more"
    stored = yaml.safe_load(project.read(".copier-answers.yml"))
    assert (stored["project_name"], stored["description"]) == (text, f"{text} & more")
    assert f"# {text}\n\n> {text} & more\n" in project.read("README.md")
    assert shown(project.read("app/settings.py")) == [text, f"{text} & more"]
    default = projects.render(Variant("default", {}))
    touched = [n for n in project.tree() if n.endswith(".py") and project.read(n) != default.read(n)]
    assert "app/settings.py" in touched
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--no-cache", *touched],
        cwd=project.path,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout


def shown(settings: str) -> list[str]:
    """
    The values of the properties `name` and `description` of ServiceSettings.
    """
    import ast

    found = {}
    for node in ast.walk(ast.parse(settings)):
        if isinstance(node, ast.FunctionDef) and node.name in {"name", "description"}:
            returned = node.body[-1]
            assert isinstance(returned, ast.Return)
            assert returned.value is not None
            found[node.name] = ast.literal_eval(returned.value)
    return [found["name"], found["description"]]


def test_ranges_are_taken_as_typed() -> None:
    """
    One or several, of both kinds, with and without a blank; the fact separates them by one.
    """
    for text in ("192.0.2.0/24, 2001:db8::/32", "192.0.2.0/24,2001:db8::/32"):
        assert questions.evaluate({"trusted_edges": text})["trusted_ranges"] == "192.0.2.0/24 2001:db8::/32"
    for text in (
        "10.0.0.0/8",
        "10.0.0.5/8",
        "2001:db8::1/32",
        "::/1",
        "::1/128",
        "1:2:3:4:5:6:7:8/64",
        "1::8/64",
        "1:2:3:4:5:6:7::/112",
    ):
        assert questions.evaluate({"trusted_edges": text})["trusted_ranges"] == text
        assert ip_network(text, strict=False), "the application takes what the question takes"
    assert questions.evaluate({})["trusted_ranges"] == ""


def test_sizes_may_be_written_as_people_do() -> None:
    """
    The same limit in bytes, KiB and MiB, with and without a space.
    """
    for text in ("5242880", "5 MiB", "5MiB", "5120 KiB"):
        assert questions.evaluate({"body_limit": text})["body_limit_bytes"] == 5242880, json.dumps(text)
