"""
Fixtures of the image tier: one real container engine for all of it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Generator, Iterator, Sequence

import pytest

from tests.image import images as built
from tests.image.databases import Database, database
from tests.image.images import SOMEBODY, VARIANTS, Image, Images, Running, running
from tests.support.containers import stand_ins
from tests.support.containers.engine import Engine
from tests.support.projects import Projects

#: The engine of this worker, once a test has asked for it.
_STARTED: list[Engine] = []


#: Which images a module asks for, beside the first. They are made while the first tests run.
NEEDED = {
    "test_ci_image": ("python-3.13", "postgres"),
    "test_compose": ("python-3.13", "postgres", "nginx", "caddy", "traefik"),
    "test_engine": ("python-3.13", "python-3.14", "postgres", "nginx", "caddy", "traefik"),
    "test_image_served": ("python-3.13", "postgres", "python-3.14"),
    "test_kubernetes_running": ("python-3.13",),
}


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """
    A container engine. Both workers use the same one: names of images and containers are shared, so have your own.

    Whoever uses it is inside its network, from here to the end of the test.
    """
    with Engine() as engine:
        enough = threading.Event()
        # In the network of the host, since this thread enters the engine's only now.
        ahead = threading.Thread(target=prepare, args=(engine, request.session.items, enough))
        ahead.start()
        _STARTED.append(engine)
        engine.enter()
        yield engine
        _STARTED.remove(engine)
        enough.set()
        ahead.join()


def prepare(engine: Engine, items: Sequence[pytest.Item], enough: threading.Event) -> None:
    """
    Make the images that tests are going to ask for, one after the other, the most wanted first. One worker does so.
    """
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
        return
    modules = {item.path.stem for item in items}
    for name in dict.fromkeys(name for module, names in sorted(NEEDED.items()) if module in modules for name in names):
        if enough.is_set():
            return
        # A test that needs it fails or is skipped, and says why.
        with contextlib.suppress(pytest.fail.Exception, pytest.skip.Exception):
            stand_ins.make(engine, name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """
    A test that uses the engine, and the fixtures of its own that do, run inside its network; others at home.
    """
    uses = "engine" in getattr(item, "fixturenames", ())
    for engine in _STARTED if uses else ():
        engine.enter()
    try:
        return (yield)
    finally:
        for engine in _STARTED:
            engine.leave()


@pytest.fixture(scope="session")
def images(engine: Engine, projects: Projects, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """
    Gives the image of a variant, built once by its own Dockerfile.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "images"
    return functools.cache(lambda variant: built.build(engine, projects, variant, folder))


@pytest.fixture(
    scope="session",
    params=[pytest.param(variant, id=variant.id, marks=pytest.mark.xdist_group(variant.id)) for variant in VARIANTS],
)
def image(request: pytest.FixtureRequest, images: Images) -> Image:
    """
    Every image of the tier in turn.
    """
    return images(request.param)


@pytest.fixture(scope="session")
def image_database(engine: Engine) -> Iterator[Database]:
    """
    A PostgreSQL for the containers of this worker; leave it running.
    """
    with database(engine) as server:
        yield server


@pytest.fixture(scope="session")
def served(image: Image, request: pytest.FixtureRequest) -> Iterator[Running]:
    """
    A container that serves, migrated, as somebody whom nobody knows. Tests share it; the last one stops it.
    """
    options = [f"--user={SOMEBODY}", "--health-interval=1s"]
    if image.facts["has_postgresql"]:
        options += request.getfixturevalue("image_database").options
    if image.project.variant != built.DEFAULT:
        # Where the phases are not what is looked at.
        options += ["--env=ACCEPT_SECONDS=1", "--env=LAME_DUCK_SECONDS=0.5"]
    volume = f"{image.tag}-{os.getpid()}"
    if image.facts["has_sqlite"]:
        options += [f"--volume={volume}:/var/lib/{image.facts['project_slug']}"]
    try:
        if image.facts["has_database"]:
            words = ["run", "--rm", *built.RESTRICTED, *options, image.tag, "alembic", "upgrade", "head"]
            image.engine.docker(*words)
        with running(image, *options) as service:
            yield service
    finally:
        image.engine.docker("volume", "rm", "--force", volume)
