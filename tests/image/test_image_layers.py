"""
The content of the image: the service, readable by everybody, and nothing that was beside it.
"""

from __future__ import annotations

import mmap
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.images import DEFAULT, SECRET, Image, Images, unpacked
from tests.support.variants import variants

TREE = {".venv", "__pycache__", "app", "gunicorn.conf.py", "serving"}
DATABASE_TREE = {"alembic.ini", "migrations"}
#: What builds, and what develops: in no image that serves.
TOOLS = {"cc", "gcc", "ld", "make", "mypy", "pip", "pip3", "pytest", "ruff", "uv", "uvx"}
#: Flags in the header of a .pyc (PEP 552): compared with its source by hash, or not compared at all.
CHECKED, UNCHECKED = 0b11, 0b01

Contents = dict[str, tuple[tarfile.TarInfo, bytes]]


@pytest.fixture(scope="session")
def archive(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The path at which `docker save` puts it.
    """
    return tmp_path_factory.mktemp("saved") / "image.tar"


@pytest.fixture(scope="session")
def contents(image: Image, archive: Path) -> Iterator[Contents]:
    """
    The files of its own layers.
    """
    with unpacked(image, archive) as found:
        yield found


def test_no_layer_holds_a_secret(contents: Contents, archive: Path) -> None:
    """
    Neither a file nor a line of the history: searched byte by byte in all that `docker save` writes.
    """
    with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as everything:
        assert everything.find(b"app.main:app") > 0
        assert everything.find(SECRET.encode()) == -1


def test_only_the_service_is_added(image: Image, contents: Contents) -> None:
    """
    Its environment, its code, the bytecode of the base, and where it keeps data; no compiler, no installer, no tool.
    """
    tree = TREE | (DATABASE_TREE if image.facts["has_database"] else set())
    assert {name.split("/")[2] for name in contents if name.startswith("srv/app/")} == tree
    data = f"var/lib/{image.facts['project_slug']}"
    files = [name for name, (member, _) in contents.items() if not member.isdir() and not name.startswith("srv/app/")]
    assert not [name for name in files if not name.endswith(".pyc") or "/__pycache__/" not in name]
    assert (data in contents) == image.facts["has_sqlite"]
    assert not [name for name in contents if posixpath.basename(name) in TOOLS]


def test_everybody_may_read_and_nobody_may_write(image: Image, contents: Contents) -> None:
    """
    The files can be read after any umask of the checkout, by any user. Data is written by group 0.
    """
    data = f"var/lib/{image.facts['project_slug']}"
    for name, (member, _) in contents.items():
        if name.startswith("srv/app/") and not member.issym():
            wanted = 0o555 if member.isdir() else 0o444
            assert (member.uid, member.gid, member.mode & wanted, member.mode & 0o022) == (0, 0, wanted, 0), name
    if data in contents:
        assert (contents[data][0].gid, contents[data][0].mode & 0o777) == (0, 0o770)


def test_everything_is_compiled(contents: Contents) -> None:
    """
    Dependencies are not compared with their sources any more, the code is: who replaces a file means it.
    """
    sources = [name for name in contents if name.startswith("srv/app/") and name.endswith(".py")]
    assert len(sources) > 500
    compiled = {}
    for name, (_, head) in contents.items():
        folder, _, file = name.rpartition("/__pycache__/")
        if folder and file.endswith(".pyc"):
            compiled[f"{folder}/{file.split('.')[0]}.py"] = int.from_bytes(head[4:8], "little")
    for name in sources:
        # gunicorn.conf.py is executed, not imported, and a program in bin/ too.
        if name != "srv/app/gunicorn.conf.py" and "/bin/" not in name:
            assert compiled.get(name) == (UNCHECKED if "/.venv/" in name else CHECKED), name
    assert [name for name in compiled if name.endswith("/asyncio/base_events.py")], "the standard library"


@variants(lambda: [DEFAULT])
def test_a_line_of_code_changes_the_last_layer_only(images: Images, variant: object, tmp_path: Path) -> None:
    """
    And the same code is the same image.
    """
    image = images(DEFAULT)
    engine, before = image.engine, image.layers()
    changed = image.project.copy(tmp_path / "changed")
    again = engine.build(changed, "image-again", VERSION="1.2.3")
    assert image.layers("image-again") == before
    assert again == engine.docker("image", "inspect", "--format", "{{.Id}}", image.tag).stdout.strip()
    main = changed / "app/main.py"
    main.write_text(main.read_text() + "\n# One line more.\n")
    engine.build(changed, "image-changed", VERSION="1.2.3")
    after = image.layers("image-changed")
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]
