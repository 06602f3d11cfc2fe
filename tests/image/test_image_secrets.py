"""
A private index, with a password and an authority of its own: the image is built from there, and keeps nothing of it.

That no layer holds the password is said in test_image_layers.py, of all images; minimal is the one that is built this way.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.image.images import MINIMAL, SECRET, Images
from tests.support.containers.index import Index

pytestmark = pytest.mark.xdist_group(MINIMAL.id)


def test_everything_comes_from_there(images: Images) -> None:
    """
    uv itself by pip, and the dependencies by uv: both ask there, have the password, and trust the authority.
    """
    index = images(MINIMAL).index
    assert index
    assert [path.rpartition("/")[2].partition("-")[0] for path in index.served("pip") if path.endswith(".whl")] == [
        "uv"
    ]
    pages = {path.split("/")[2] for path in index.served("uv") if path.startswith("/simple/")}
    assert {"fastapi", "gunicorn", "uvicorn"} <= pages
    files = [path for path in index.served("uv") if path.startswith("/files/")]
    assert any("/fastapi-" in path for path in files)


@pytest.mark.parametrize(
    ("absent", "said"),
    [("netrc", "No matching distribution found for uv"), ("ca", "CERTIFICATE_VERIFY_FAILED")],
    ids=["no-password", "no-authority"],
)
def test_one_secret_is_not_enough(images: Images, tmp_path: Path, absent: str, said: str) -> None:
    """
    Without one of them the build fails, and says why; so nothing of an earlier build has helped.
    """
    image = images(MINIMAL)
    with Index(image.engine, tmp_path / "index", SECRET) as index:
        options = [option for name, option in index.options.items() if name != absent]
        # pip would wait longer and longer for what does not change.
        configuration = tmp_path / "index/pip-conf"
        configuration.write_text(f"{configuration.read_text()}retries = 0\n")
        words = ("build", "--no-cache", "--target=build", *options, str(image.project.path))
        done = image.engine.docker(*words, check=False)
        assert done.returncode != 0
        assert said in done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert not index.served("pip")
        assert (index.refused() > 0) == (absent == "netrc")
