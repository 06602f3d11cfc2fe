"""
The rendered README of a proxy says what it cannot do.
"""

from __future__ import annotations

import pytest

from tests.support.edges import Edge, every
from tests.support.projects import Projects


@pytest.mark.parametrize("edge", [pytest.param(edge, id=edge.name) for edge in every()])
def test_what_a_proxy_cannot_do_is_documented(edge: Edge, projects: Projects) -> None:
    """
    In the words that its tests rely on.
    """
    readme = " ".join(projects.render(edge.variant).read(f"deploy/{edge.proxy}/README.md").split())
    missing = {word: phrase for word, phrase in edge.cannot.items() if phrase not in readme}
    assert not missing
