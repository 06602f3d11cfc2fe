"""
Names a service cannot have.
"""

from __future__ import annotations

import re

from tests.support import questions


def test_no_service_can_be_named_like_its_dependency() -> None:
    """
    uv refuses such a project: every distribution the rendered project may lock is reserved.
    """
    seam = (questions.ROOT / "template" / "pyproject.toml.jinja").read_text()
    locked = set(re.findall(r'^    "([a-z0-9-]+) == ', seam, re.MULTILINE))
    reserved = set(str(questions.evaluate({})["reserved_slugs"]).split())
    assert len(locked) > 40
    assert locked - reserved == set()
