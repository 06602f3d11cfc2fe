"""
Fixtures of the vm tier: a machine with a real systemd, and on it a service, installed by its own installer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.projects import Projects
from tests.support.rootfs import SUITES
from tests.support.variants import of
from tests.vm import hosts, ledger, other_edges
from tests.vm.edges import Edge
from tests.vm.host import Host

# So many requests are no attack here.
ANSWERS = {"edge_rate": "100000"}


@pytest.fixture(scope="session", params=list(SUITES))
def host(
    request: pytest.FixtureRequest, projects: Projects, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """
    A machine with the default service: PostgreSQL inside, nginx with TLS in front, one release deployed.

    The tests of a run share it and leave it as it was: one run that serves.
    """
    with Machine(request.param, binds=other_edges.binaries()) as machine:
        project = projects.render(of(**ANSWERS)).sync()
        yield hosts.install(machine, project, tmp_path_factory.mktemp("operator") / "project")


@pytest.fixture(scope="session")
def edges(host: Host, projects: Projects) -> tuple[Edge, ...]:
    """
    All ways to the service, at once.
    """
    caddy, traefik = (projects.render(of(**ANSWERS, proxy=proxy)) for proxy in ("caddy", "traefik"))
    return other_edges.furnish(host, caddy, traefik)


@pytest.fixture(autouse=True)
def explained(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    A failure says what the service has logged last.
    """
    if "host" not in request.fixturenames:
        yield
        return
    host: Host = request.getfixturevalue("host")
    with host.machine.explained(f"{host.slug}*"):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    An empty folder for an operator.
    """
    return tmp_path / "operator"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run the tests that share a machine on one worker.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
            machine = next((f"{name}-{parameters[name]}" for name in ("host", "ground") if name in parameters), "none")
            item.add_marker(pytest.mark.xdist_group(f"machine-{machine}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """
    Show what was counted.
    """
    if not hasattr(config, "workerinput"):
        ledger.show(terminalreporter)
