"""
Fixtures of the image tier: one real container engine for all of it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from tests.image import images as built
from tests.image.databases import Database, database
from tests.image.images import SOMEBODY, VARIANTS, Image, Images, Running, running
from tests.support.containers.engine import Engine
from tests.support.projects import Projects
from tests.support.variants import Variant

#: The engine of this worker, once a test has asked for it.
_STARTED: list[Engine] = []


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """
    A container engine. Both workers use the same one: names of images and containers are shared, so have your own.

    Whoever uses it is inside its network, from here to the end of the test.
    """
    with Engine() as engine:
        _STARTED.append(engine)
        engine.enter()
        yield engine
        _STARTED.remove(engine)


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
    found: dict[str, Image] = {}

    def build(variant: Variant) -> Image:
        if variant.id not in found:
            project = projects.render(variant).sync()
            copy = built.prepare(project, tmp_path_factory.mktemp("image") / "work")
            if variant == built.MINIMAL:
                # A service that has not been locked yet.
                (copy / "uv.lock").unlink()
            tag = f"image-{variant.id}"
            engine.build(copy, tag, VERSION="1.2.3")
            found[variant.id] = Image(engine, copy, tag)
        return found[variant.id]

    return build


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
