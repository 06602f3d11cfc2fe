"""
The scripts of the template and of what it renders work on a bare machine, or say what is missing.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.projects import Projects
from tests.support.questions import ROOT
from tests.support.variants import named


@pytest.fixture
def uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """
    scripts/uv as a module, in a repository of its own.
    """
    loader = SourceFileLoader("uv_script", str(ROOT / "scripts" / "uv"))
    spec = importlib.util.spec_from_loader("uv_script", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    (tmp_path / "uv.lock").write_text((ROOT / "uv.lock").read_text())
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for name in module.INDEXES:
        monkeypatch.delenv(name, raising=False)
    return module


@pytest.mark.parametrize(
    ("system", "machine", "libc", "wanted"),
    [
        ("linux", "x86_64", "glibc", "manylinux_2_17_x86_64"),
        ("linux", "aarch64", "glibc", "manylinux_2_17_aarch64"),
        ("linux", "x86_64", "", "musllinux_1_1_x86_64"),
        ("darwin", "arm64", "", "macosx_11_0_arm64"),
        ("darwin", "x86_64", "", "macosx_10_12_x86_64"),
    ],
)
def test_the_right_uv_is_chosen(
    uv: ModuleType, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: str, wanted: str
) -> None:
    """
    One wheel of the lock fits each system.
    """
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    wheels = next(package["wheels"] for package in packages if package["name"] == "uv")
    first = next(wheel["url"] for wheel in wheels if uv.fits(wheel["url"]))
    assert wanted in first


def test_it_does_not_ask_itself(uv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With its own directory on PATH it is the uv that is found: asking it for its version would never end.
    """
    monkeypatch.setattr(uv.subprocess, "run", lambda words, **_: pytest.fail(f"asked {words}"))
    monkeypatch.setenv("PATH", str(ROOT / "scripts"))
    assert uv.installed() is None


def test_a_wrong_checksum_ends_it(uv: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A file that is not the wheel that the lock names is neither kept nor run.
    """
    monkeypatch.setattr(uv, "fetch", lambda url: b"something else")
    with pytest.raises(SystemExit, match="checksum differs"):
        uv.downloaded()
    assert not (tmp_path / ".cache").exists()


def test_a_configured_index_is_used(uv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The address of the wheel comes from the index that the environment names; the checksum stays the lock's.
    """
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    page = b'<a href="../../files/uv-1-py3-none-any.whl#sha256=0">uv-1-py3-none-any.whl</a>'
    monkeypatch.setattr(uv, "fetch", lambda url: page)
    found = uv.locate("https://elsewhere.example/packages/uv-1-py3-none-any.whl")
    assert found == "https://index.example/files/uv-1-py3-none-any.whl"


def test_without_uv_make_says_how_to_get_it(projects: Projects, tmp_path: Path) -> None:
    """
    In a rendered project `make dev` without uv ends with one line that helps; `make` still lists the commands.
    """
    project = projects.render(named("default"))
    for tool in ("make", "awk", "sh", "bash"):
        for folder in ("/usr/bin", "/bin"):
            if (path := Path(folder, tool)).exists() and not (tmp_path / tool).exists():
                (tmp_path / tool).symlink_to(path)
    bare = {"PATH": str(tmp_path)}
    done = subprocess.run(["make", "dev"], cwd=project.path, env=bare, capture_output=True, text=True)
    assert done.returncode
    assert "uv is missing. To install it: https://" in done.stderr
    assert "make dev" in subprocess.run(["make"], cwd=project.path, env=bare, capture_output=True, text=True).stdout


def test_ci_refuses_a_missing_lock(projects: Projects) -> None:
    """
    Without uv.lock there is nothing to install in CI: `make ci` stops at once and says what to type.
    """
    project = projects.render(named("minimal"))
    assert not (project / "uv.lock").exists()
    done = subprocess.run(
        ["scripts/ci"], cwd=project.path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode
    assert "uv lock && git add uv.lock" in done.stderr


@pytest.mark.parametrize(("value", "seen"), [("", "unset"), ("3", "3")])
def test_serve_takes_an_empty_variable_as_unset(projects: Projects, tmp_path: Path, value: str, seen: str) -> None:
    """
    gunicorn reads WEB_CONCURRENCY by itself and would end with a traceback when it is empty.
    """
    stub = tmp_path / "uv"
    stub.write_text('#!/bin/sh\necho "$*: ${WEB_CONCURRENCY-unset}"\n')
    stub.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "WEB_CONCURRENCY": value}
    done = subprocess.run(
        ["scripts/serve"], cwd=projects.render(named("minimal")).path, env=environ, capture_output=True, text=True
    )
    assert done.stdout == f"run gunicorn app.main:app: {seen}\n"


def test_every_target_has_its_script() -> None:
    """
    Everything that make does here can be done without make.
    """
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = {line.split()[1] for line in done.stdout.splitlines() if line.strip().startswith("make ")}
    programs = {path.name for path in (ROOT / "scripts").iterdir() if os.access(path, os.X_OK) and path.is_file()}
    assert targets - {"help", "format"} == programs - {"uv"}
