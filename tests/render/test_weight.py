"""
The weight of the three named variants, and of what is the pattern to copy.
"""

from __future__ import annotations

import pytest

from tests.support.projects import Projects
from tests.support.variants import Variant, three
from tests.support.weight import TOTAL, below, table, weigh

#: Files and lines, as reached. The aim is 150 and 9,300 for the default, 75 and 4,500 for minimal.
MOST = {"minimal": (75, 4770), "default": (148, 9890), "maximal": (199, 11660)}
#: Of tests/ in the default: what a user copies, or what checks the user's own code.
MOST_TESTS = (20, 1200)


def test_a_service_is_small(projects: Projects) -> None:
    """
    None of the three holds more than it may.
    """
    weights = {variant.id: weigh(projects.render(variant)) for variant in three()}
    heavier = [
        f"{name}: {weights[name][TOTAL]}, at most {most}"
        for name, most in MOST.items()
        if any(found > limit for found, limit in zip(weights[name][TOTAL], most, strict=True))
    ]
    assert not heavier, "\n".join([*heavier, table(weights)])


@pytest.mark.parametrize("variant", three(), ids=str)
def test_the_tests_are_a_pattern(projects: Projects, variant: Variant) -> None:
    """
    Tests of template code are in tests/service of this repository, and not in the service.
    """
    files, lines = below(weigh(projects.render(variant)), "tests")
    # In maximal one more file keeps the rate limit out of the other tests.
    assert files <= MOST_TESTS[0] + variant.facts["has_app_rate"]
    assert lines <= MOST_TESTS[1]
