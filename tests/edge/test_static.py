"""
Files at the edge: with a long life where the name holds a hash, of old releases too.
"""

from __future__ import annotations

import pytest

from tests.edge.conftest import Standing
from tests.support.edges import edges


@pytest.fixture
def files(standing: Standing) -> Standing:
    """
    A proxy with files to serve, and one beside them that is not.
    """
    folder = f"/opt/{standing.slug}/static"
    standing.sandbox.write(f"{folder}/site.3f2a9c1b.css", "body { color: black }\n" * 200)
    standing.sandbox.write(f"{folder}/deep/robots.txt", "nothing\n")
    standing.sandbox.write(f"/opt/{standing.slug}/secret.txt", "secret\n")
    return standing


@edges("static-files")
def test_a_name_with_a_hash_lives_long(files: Standing) -> None:
    """
    It never changes its meaning.
    """
    answer = files.client().get("/static/site.3f2a9c1b.css", headers={"Accept-Encoding": "gzip"})
    assert answer.status == 200
    assert (answer.header("content-type") or "").startswith("text/css")
    assert answer.header("cache-control") == "public, max-age=31536000, immutable"
    assert answer.header("content-encoding") == "gzip"
    assert answer.header("x-content-type-options") == "nosniff"


@edges("static-files")
def test_any_other_file_is_looked_at_again_soon(files: Standing) -> None:
    """
    Five minutes; and what has not changed is not sent again.
    """
    answer = files.client().get("/static/deep/robots.txt")
    assert answer.body == b"nothing\n"
    assert answer.header("cache-control") == "public, max-age=300"
    again = files.client().get("/static/deep/robots.txt", headers={"If-None-Match": answer.header("etag") or ""})
    assert again.status == 304


@edges("static-files")
def test_what_is_not_there_is_a_problem(files: Standing) -> None:
    """
    404 as everywhere, and not to be remembered for a year.
    """
    for path in ("/static/nowhere.3f2a9c1b.css", "/static/", "/static/deep/"):
        answer = files.client().get(path)
        assert answer.status == 404, path
        assert answer.header("content-type") == "application/problem+json"
        assert answer.header("cache-control") is None


@edges()
@pytest.mark.parametrize(
    "path",
    ["/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static../secret.txt", "/static/..%2fsecret.txt"],
)
def test_nothing_else_is_served(files: Standing, path: str) -> None:
    """
    No way leads out of the folder.
    """
    assert files.client().get(path).body != b"secret\n"
