"""
Fixtures of the boot tier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.boot.ledger import LEDGER
from tests.boot.serving import BRIEFLY, COMMANDS, Served, Serving, extra_servers, production
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import kinds, named

OTHERS = [server for server in COMMANDS if server != "production"]
# Every kind of application by its own production command, and the default by every other server.
SERVINGS = [Serving(variant) for variant in kinds()] + [Serving(named("default"), server) for server in OTHERS]
NIGHTLY = [Serving(named("maximal"), server) for server in OTHERS]


@pytest.fixture(
    scope="session",
    params=[
        *(pytest.param(each, id=each.id, marks=pytest.mark.xdist_group(each.id)) for each in SERVINGS),
        *(
            pytest.param(each, id=each.id, marks=(pytest.mark.xdist_group(each.id), pytest.mark.nightly))
            for each in NIGHTLY
        ),
    ],
)
def served(
    request: pytest.FixtureRequest, projects: Projects, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """
    A running service in production mode. The tests of the contract share it; the last one stops it.
    """
    serving: Serving = request.param
    project = projects.render(serving.variant).sync()
    environment = BRIEFLY | production(
        project, lambda: request.getfixturevalue("postgres"), tmp_path_factory.mktemp("data")
    )
    if COMMANDS[serving.server][:2] == ("python", "-m"):
        environment["PYTHONPATH"] = str(extra_servers(project))
    with project.serve(*COMMANDS[serving.server], env=environment) as service:
        yield Served(service, serving)


@pytest.fixture(scope="session")
def in_production(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Project], dict[str, str]]:
    """
    Gives a project the environment of production. Its database is migrated once and shared by the tests that ask here.
    """
    environments: dict[str, dict[str, str]] = {}

    def environment(project: Project) -> dict[str, str]:
        variant = project.variant.id
        if variant not in environments:
            folder = tmp_path_factory.mktemp("data")
            environments[variant] = production(project, lambda: request.getfixturevalue("postgres"), folder)
        return dict(environments[variant])

    return environment


@pytest.fixture
def items(served: Served) -> Served:
    """
    A service with the example that keeps data. Variants without it do not collect the test.
    """
    return served


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Leave out what a variant does not have, instead of skipping it: nothing is missing there.
    """
    left_out = [item for item in items if _asks_for_data(item) and not _has_data(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _asks_for_data(item: pytest.Item) -> bool:
    return {"items", "served"} <= set(getattr(item, "fixturenames", ()))


def _has_data(item: pytest.Item) -> bool:
    serving: Serving = item.callspec.params["served"]  # type: ignore[attr-defined]
    return bool(serving.variant.facts["has_database"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """
    Show what the loss tests counted.
    """
    if LEDGER.exists() and not hasattr(config, "workerinput"):
        terminalreporter.section("lost under load, last counted")
        terminalreporter.write(LEDGER.read_text())
