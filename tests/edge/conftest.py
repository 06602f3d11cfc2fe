"""
Fixtures of the edge tier: each proxy stands in a sandbox of its own, before a service or before a stub.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.edge.application import serving, telling
from tests.support.edges import Edge
from tests.support.edges.client import Client
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.sandbox import Sandbox


@dataclass
class Standing:
    """
    A proxy that runs. A test's thread is inside its network.
    """

    edge: Edge
    sandbox: Sandbox
    project: Project

    @property
    def slug(self) -> str:
        return self.edge.slug

    def client(self, **options: str) -> Client:
        """
        A client with an address that nobody had before: it has a bucket of its own.
        """
        return Client(**options)  # type: ignore[arg-type]

    def maintenance(self, state: str) -> None:
        self.edge.maintenance(self.sandbox, self.project, state)


@contextlib.contextmanager
def standing_in_sandbox(edge: Edge, project: Project) -> Iterator[Standing]:
    """
    Install a proxy in a new sandbox; nothing is started yet.
    """
    with Sandbox(edge.root(), [project.path]) as sandbox:
        edge.install(sandbox, project)
        try:
            yield Standing(edge, sandbox, project)
        except BaseException as error:
            error.add_note(sandbox.logs())
            raise


@pytest.fixture(scope="session")
def standing(
    request: pytest.FixtureRequest, projects: Projects, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    """
    A proxy before the service, both running: shared by the tests of the edge, who leave it as they found it.
    """
    edge: Edge = request.param
    project = telling(projects.render(edge.variant).sync(), tmp_path_factory.mktemp(edge.name) / "project")
    # What the unit says; nginx has found the client by itself, the others pass on what they were told.
    trusted = {"TRUSTED_PROXIES": edge.variant.facts["app_trusted"]}
    # A sandbox has the machine's memory. What an earlier run has counted there is not of this one's clients.
    counted = Path(f"/dev/shm/{edge.slug}-rate-limit-{os.geteuid()}")
    counted.unlink(missing_ok=True)
    with standing_in_sandbox(edge, project) as standing, serving(project, standing.sandbox, edge.address, trusted):
        edge.start(standing.sandbox)
        yield standing
    counted.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def bare(request: pytest.FixtureRequest, projects: Projects) -> Iterator[Standing]:
    """
    A proxy with nobody behind it: the test says who is there.
    """
    edge: Edge = request.param
    with standing_in_sandbox(edge, projects.render(edge.variant)) as standing:
        edge.start(standing.sandbox)
        yield standing


@pytest.fixture
def own(request: pytest.FixtureRequest, projects: Projects) -> Iterator[Standing]:
    """
    A proxy of the test's own, with nobody behind it: its files may be changed.
    """
    edge: Edge = request.param
    with standing_in_sandbox(edge, projects.render(edge.variant)) as standing:
        edge.start(standing.sandbox)
        yield standing


@pytest.fixture(autouse=True)
def inside(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    The test's thread is in the network of its proxy.
    """
    names = [name for name in ("standing", "bare", "own") if name in request.fixturenames]
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(request.getfixturevalue(name).sandbox.inside())
        yield
