"""
The repository's own documents: a README that is read in a minute, and links that lead somewhere.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.questions import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "tests/README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def rows(text: str) -> list[list[str]]:
    """
    The cells of a Markdown table, without its head.
    """
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def links(text: str) -> list[str]:
    """
    The targets of links and pictures that are files of the repository.
    """
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'<img src="([^"]+)"', text)
    return [target for target in found if not target.startswith(("http:", "https:"))]


def test_the_readme_is_short() -> None:
    """
    At most 100 lines and 700 words, code and tables included.
    """
    assert len(README.splitlines()) <= 100
    assert len(README.split()) <= 700


def test_the_first_sentence_is_short() -> None:
    """
    One sentence, of at most 25 words, is all that comes before the picture.
    """
    title, sentence, picture, *_ = README.split("\n\n")
    assert title == "# Steadfast"
    assert re.fullmatch(r"[A-Z][^.]+\.", sentence)
    assert len(sentence.split()) <= 25
    assert re.match(r'<img src="docs/pictures/\w+\.svg" width="\d+" alt="[^"]{20,}">', picture)


def test_the_tree_says_whose_each_line_is() -> None:
    """
    Twelve lines, and nothing in them that is neither yours nor the template's.
    """
    lines = re.findall(r"^[├└]── (.*)$", README, re.M)
    assert len(lines) == 12
    assert not [line for line in lines if not re.search(r"  (yours[:,]|the template's:) ", line)]


def test_the_one_table_is_taken_from_the_proof() -> None:
    """
    Six rows: the events behind nginx of docs/proof.md, and all deploys as one.
    """
    shown = rows(README)
    assert len(shown) == len(re.findall(r"^\|", README, re.M)) - 2 == 6
    block = (ROOT / "docs/proof.md").read_text(encoding="utf-8").split("<!-- edges -->")[1].split("<!-- /edges -->")[0]
    measured: dict[str, list[tuple[int, int, int]]] = {}
    for event, _, nginx, *_ in rows(block):
        lost, sent, slowest = (int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", nginx))
        measured.setdefault(event.split(" (")[0], []).append((lost, sent, slowest))
    for event, of, longest in shown:
        name = "deploy" if event == "three deploys" else event.split(",")[0]
        lost, sent = (int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", of))
        times = measured[name]
        assert (lost, sent) == (sum(each[0] for each in times), sum(each[1] for each in times)), event
        assert int(re.sub(r"\D", "", longest)) == max(each[2] for each in times), event
        assert len(times) == (3 if name == "deploy" else 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """
    Every file that a page of the repository links is there.
    """
    assert not [target for target in links(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()]


def test_every_page_is_reached() -> None:
    """
    Links lead from the README to every other page; a link to a directory leads to the pages in it.
    """
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = [(page.parent / target).resolve() for target in links(page.read_text(encoding="utf-8"))]
        pages = [each for target in targets for each in (target.glob("*.md") if target.is_dir() else [target])]
        waiting += [each for each in pages if each.suffix == ".md" and each not in reached]
    assert set(PAGES) - reached == set()
