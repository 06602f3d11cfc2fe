"""
The proxies under test: each by its real binary, lower and upper version, in a sandbox of its own.

One module per proxy, which lists its versions in `EDGES`; `every()` is all of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.edges.edge import Edge

__all__ = ["Edge", "edges", "every"]


def every() -> Iterator[Edge]:
    """
    Every proxy and version, in the order of the modules' names.
    """
    for path in sorted(Path(__file__).parent.glob("*.py")):
        module = importlib.import_module(f"{__name__}.{path.stem}") if path.stem != "__init__" else None
        yield from getattr(module, "EDGES", ())


def edges(
    *capabilities: str,
    fixture: str = "standing",
    where: Callable[[Edge], bool] = lambda _: True,
    daily: bool = False,
) -> pytest.MarkDecorator:
    """
    Run a test once per edge that can do this. What one cannot do its rendered README says (a test of its own).

    Cases of one edge stay on one worker: it is started once. The oldest supported versions are tested nightly, and at
    any time by tests that are `daily`.
    """

    def marks(edge: Edge) -> list[pytest.MarkDecorator]:
        group = pytest.mark.xdist_group(edge.name)
        return [group, pytest.mark.nightly] if edge.is_oldest and not daily else [group]

    chosen = [edge for edge in every() if where(edge) and not set(capabilities) & set(edge.cannot)]
    cases = [pytest.param(edge, id=edge.name, marks=marks(edge)) for edge in chosen]
    return pytest.mark.parametrize(fixture, cases, indirect=True)
