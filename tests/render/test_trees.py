"""
The trees of the three named variants, as lists: a file that appears or goes is seen in a review.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from tests.support.projects import Projects
from tests.support.variants import Variant, three

TREES = Path(__file__).parent / "trees"


@pytest.mark.parametrize("variant", three(), ids=str)
def test_tree(projects: Projects, variant: Variant) -> None:
    """
    The rendered files are those on the list.
    """
    expected = TREES / f"{variant.id}.txt"
    tree = projects.render(variant).tree()
    if os.environ.get("ACCEPT"):
        expected.write_text("\n".join(tree) + "\n")
    difference = "\n".join(difflib.unified_diff(expected.read_text().splitlines(), tree, "expected", "rendered", n=0))
    assert not difference, f"\n{difference}\nto accept: ACCEPT=1 scripts/test render -k test_tree"
