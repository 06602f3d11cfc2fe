"""
Fixtures of all tiers: the workshop that renders, and the real programs.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from _pytest.nodeid import coerce_node_id

from tests.support.projects import Projects
from tests.support.stack import Postgres


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    """
    Renders variants, each once per test run; the workers of a run share one folder.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    return Projects(shared / "rendered")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """
    A running PostgreSQL, shared: make a database of your own with `.create_database()`, and do not stop it.
    """
    with Postgres() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """
    A running PostgreSQL of the test's own, to be stopped and started at will.
    """
    with Postgres() as server:
        yield server


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """
    An empty folder for copies of projects.
    """
    return tmp_path / "work"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Keep the cases of a group together: pytest-xdist 3.8 marks them in an attribute that pytest 9.2 no longer reads.
    """
    for item in items:
        if grouped := getattr(item, "_nodeid", None):
            item._id = coerce_node_id(grouped)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Turn a skip into a failure where CI is set: a missing tool there would hide what the tier is for.
    """
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"skipped, where CI is set: {reason}"
    return report
