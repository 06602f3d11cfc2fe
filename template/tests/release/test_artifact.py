"""What is shipped: packed, refused when it does not fit, installed whole or not at all."""

import io
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from release import artifact, install, target
from release.artifact import Manifest
from release.host import Host
from release.machine import Machine
from release.say import Problem
from release.target import Target

from tests.release.machines import OwnShell, machine_in

NAME = "20260101T093000Z-abcdef0"
MANIFEST = Manifest(
    slug="shop",
    release=NAME,
    commit="abcdef0" * 5,
    kind="wheels",
    python="3.13",
    machine="x86_64",
    libc="glibc 2.36",
    created="2026-01-01T09:30:00+00:00",
    requirements="0" * 64,
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A host with Python 3.13 and glibc 2.41."""
    machine = machine_in(tmp_path / "host")
    Host(python=sys.executable).save(machine.paths.host, OwnShell())
    monkeypatch.setattr(target, "ask", lambda python: Target("3.13", "x86_64", "glibc 2.41"))
    return machine


def pack(tmp_path: Path, manifest: Manifest = MANIFEST) -> Path:
    contents = tmp_path / "contents"
    (contents / "tree" / "app").mkdir(parents=True)
    (contents / "tree" / "app" / "main.py").write_text("app = 1\n")
    (contents / "requirements.txt").write_text("")
    path = tmp_path / "shop.tar.gz"
    artifact.write(path, manifest, contents)
    return path


def test_a_manifest_comes_first_and_comes_back(tmp_path: Path) -> None:
    path = pack(tmp_path)
    assert artifact.read_manifest(path) == MANIFEST
    with tarfile.open(path) as archive:
        assert archive.getnames()[0] == "manifest.json"


def test_names_of_releases_sort_by_time() -> None:
    when = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert artifact.release_name("0123456789", when) == "20261121T093000Z-0123456"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"slug": "other"}, "this is a release of other, not of shop"),
        ({"python": "3.12"}, r"built for Python 3.12, and .* is 3.13; build it with --for python3"),
        ({"machine": "aarch64"}, "built for aarch64, and this machine is x86_64"),
        ({"libc": "glibc 2.42"}, "built for glibc 2.42, and this host has glibc 2.41"),
        ({"libc": "musl 1.2"}, "built for musl 1.2, and this host has glibc 2.41"),
        ({"kind": "venv", "python": "3.14"}, "built for Python 3.14"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    machine: Machine, changed: dict[str, str], message: str
) -> None:
    with pytest.raises(Problem, match=message):
        install.check(machine, Manifest(**{**vars(MANIFEST), **changed}))


def test_what_fits_is_not_refused(machine: Machine) -> None:
    install.check(machine, MANIFEST)
    install.check(machine, replace(MANIFEST, libc="glibc 2.9"))
    install.check(machine, replace(MANIFEST, kind="source", python="3.12"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"format": 1}', "cannot be read"),
        ('{"format": 2}', "has format 2, this tool knows 1"),
        (replace(MANIFEST, release="../../etc").to_json(), "makes no sense"),
        (replace(MANIFEST, kind="magic").to_json(), "makes no sense"),
    ],
)
def test_a_manifest_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(Problem, match=message):
        Manifest.parse(text)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08"])
def test_a_file_that_is_no_artifact_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "shop.tar.gz"
    path.write_bytes(content)
    with pytest.raises(Problem, match=r"shop\.tar\.gz cannot be read .*; build or copy it again"):
        artifact.read_manifest(path)


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("../outside", ""),
        ("/etc/passwd", ""),
        ("tree/link", "/etc/passwd"),
        ("tree/link", "../../outside"),
        ("tree/a/../../../outside", ""),
    ],
)
def test_nothing_leads_out_of_an_artifact(tmp_path: Path, name: str, link: str) -> None:
    path = tmp_path / "shop.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = (tarfile.SYMTYPE, link) if link else (tarfile.REGTYPE, "")
        archive.addfile(entry, io.BytesIO())
    with pytest.raises(Problem, match="leads out of it"):
        artifact.unpack(path, tmp_path / "into")
    assert not (tmp_path / "outside").exists()


def test_links_together_lead_nowhere_else_either(tmp_path: Path) -> None:
    path = tmp_path / "shop.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, link in (("a/b/c/s", "../../.."), ("a/b/c/s/up", "a/.."), ("x", "a/b/c/s/../..")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
    (tmp_path / "into").mkdir()
    with pytest.raises(Problem, match="holds x, which leads out of it"):
        artifact.unpack(path, tmp_path / "into")


def test_a_manifest_that_is_a_link_is_none(tmp_path: Path) -> None:
    path = tmp_path / "shop.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("manifest.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "elsewhere"
        archive.addfile(entry)
    with pytest.raises(Problem, match="is not an artifact of this tool"):
        artifact.read_manifest(path)


def test_a_manifest_holds_text(tmp_path: Path) -> None:
    text = MANIFEST.to_json().replace(f'"{NAME}"', "7")
    with pytest.raises(Problem, match="cannot be read: release: no text"):
        Manifest.parse(text)


def test_files_are_for_everybody_to_read_and_for_nobody_to_write(tmp_path: Path) -> None:
    path = tmp_path / "shop.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, mode in (("closed", 0o600), ("open", 0o666), ("script", 0o4777)):
            entry = tarfile.TarInfo(name)
            entry.mode = mode
            archive.addfile(entry, io.BytesIO())
    (tmp_path / "into").mkdir()
    artifact.unpack(path, tmp_path / "into")
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "into").iterdir()}
    assert modes == {"closed": 0o644, "open": 0o644, "script": 0o755}


def test_an_installation_that_fails_leaves_nothing(machine: Machine, tmp_path: Path) -> None:
    # It holds no pip, so it ends after the environment was made.
    with pytest.raises(Problem, match="holds no pip"):
        install.install(machine, pack(tmp_path), MANIFEST)
    assert list(machine.paths.releases.iterdir()) == []


def test_a_shipped_environment_is_installed_where_it_will_lie(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / "contents" / "venv"
    for path, text in (
        ("site-packages/shipped.py", "VALUE = 42\n"),
        ("bin/tool", "#!/builder/.venv/bin/python\nimport shipped\nprint(shipped.VALUE)\n"),
    ):
        (venv / path).parent.mkdir(parents=True)
        (venv / path).write_text(text)
    (venv / "bin" / "tool").chmod(0o755)
    manifest = replace(MANIFEST, kind="venv")

    # Root runs this, wherever it stands: what lies there is not what is meant.
    (tmp_path / "compileall.py").write_text("open('ran', 'w')\n")
    monkeypatch.chdir(tmp_path)
    release = install.install(machine, pack(tmp_path, manifest), manifest)
    assert not (tmp_path / "ran").exists()
    assert list((release / "app" / "__pycache__").iterdir())

    assert release == machine.paths.releases / NAME
    assert install.is_whole(release)
    assert (release / "app" / "main.py").is_file()
    done = subprocess.run(
        [str(release / ".venv" / "bin" / "tool")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("42\n", "")
    assert [path.name for path in machine.paths.releases.iterdir()] == [NAME]
    # Again, it is there already.
    assert install.install(machine, tmp_path / "gone.tar.gz", manifest) == release


def test_scripts_name_the_interpreter_that_they_will_have(tmp_path: Path) -> None:
    venv, final = tmp_path / "made" / ".venv", Path("/opt/shop/releases") / NAME / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\ncommand = python3 -m venv {venv}\n")
    (venv / "bin" / "tool").write_text(f"#!{venv}/bin/python3\nprint(1)\n")
    (venv / "bin" / "shipped").write_text("#!/builder/.venv/bin/python3.13\nprint(1)\n")
    (venv / "bin" / "shell").write_text("#!/bin/sh\necho python\n")
    install.relocate(venv, final)
    assert (venv / "bin" / "tool").read_text() == f"#!{final}/bin/python\nprint(1)\n"
    assert (venv / "bin" / "shipped").read_text() == f"#!{final}/bin/python\nprint(1)\n"
    assert (venv / "bin" / "shell").read_text() == "#!/bin/sh\necho python\n"
    assert str(venv) not in (venv / "pyvenv.cfg").read_text()
