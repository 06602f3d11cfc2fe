"""
Docker is not needed to build it: Buildah takes the Dockerfile as it is, and makes the same image of it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.image.images import MINIMAL, Images
from tests.support.containers.daemon import PLACES
from tests.support.containers.engine import Engine

pytestmark = pytest.mark.xdist_group(MINIMAL.id)

#: What an image is started by.
STARTED_BY = ("Cmd", "Entrypoint", "ExposedPorts", "Healthcheck", "Labels", "StopSignal", "User", "WorkingDir")


@pytest.mark.nightly
def test_buildah_makes_the_same_image(engine: Engine, images: Images) -> None:
    """
    As a CI does that has no engine: nothing but processes in a changed root. The health check needs Docker's format.
    """
    if not shutil.which("buildah", path=PLACES):
        pytest.skip("buildah is missing (scripts/install-tools installs it)")
    image = images(MINIMAL)
    base = f"python:{image.project.facts['python']}-slim"
    with tempfile.TemporaryDirectory(prefix="buildah-") as name:
        folder = Path(name)
        # Its caches as well; and a storage that works on any file system.
        environment = {"TMPDIR": name, "STORAGE_DRIVER": "vfs"}
        buildah = ("buildah", f"--root={folder / 'storage'}", f"--runroot={folder / 'run'}")
        engine.docker("save", "--output", folder / "base.tar", base)
        engine.run(*buildah, "pull", f"docker-archive:{folder / 'base.tar'}", env=environment)
        (folder / "base.tar").unlink()
        words = ("build", "--isolation=chroot", "--format=docker", "--build-arg=VERSION=1.2.3", "--tag=built")
        engine.run(*buildah, *words, image.project.path, env=environment)
        found = engine.run(*buildah, "inspect", "--type=image", "built").stdout
        config = json.loads(found)["Docker"]["config"]
        del config["Labels"]["io.buildah.version"]
        # One says nothing, the other an empty list.
        assert {key: config.get(key) or None for key in STARTED_BY} == {key: image.config[key] for key in STARTED_BY}
        assert sorted(config["Env"]) == sorted(image.config["Env"])
        engine.run(*buildah, "rmi", "--all", "--force", env=environment, check=False)
