"""From a commit to an artifact: what is refused, what is exported, what is collected."""

import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from release import artifact, build, environments, target, wheels
from release.git import Checkout
from release.say import Problem
from release.target import Target
from release.wheels import Requirements

TRIXIE = Target("3.13", "x86_64", "glibc 2.41")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A committed project, one folder down in its repository."""
    project = tmp_path / "repository" / "service"
    project.mkdir(parents=True)
    (project / "uv.lock").write_text("")
    (project / "main.py").write_text("committed")
    (project.parent / "other.py").write_text("of somebody else")
    git(project.parent, "init", "--quiet")
    commit(project.parent)
    return Checkout(project)


def git(folder: Path, *words: str) -> None:
    environ = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    names = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, env={**os.environ, **environ})


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a")


def test_a_target_is_what_a_host_says() -> None:
    assert target.parse(str(TRIXIE)) == TRIXIE
    assert str(TRIXIE) == "python3.13-x86_64-glibc2.41"
    assert target.parse(str(target.here())) == target.here()


@pytest.mark.parametrize("text", ["", "3.13", "python3.13-x86_64", "python2.7-x86_64-glibc2.36"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="is not a target"):
        target.parse(text)


def test_every_platform_that_runs_there_is_listed_the_best_first() -> None:
    tags = Target("3.13", "aarch64", "glibc 2.17").platforms()
    assert tags[:3] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_16_aarch64"]
    assert tags[-1] == "linux_aarch64"
    assert "manylinux_2_18_aarch64" not in tags
    assert Target("3.13", "x86_64", "musl 1.1").platforms() == [
        "musllinux_1_1_x86_64",
        "musllinux_1_0_x86_64",
    ]


def test_an_interpreter_that_does_not_run_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no libpython' >&2; exit 1\n")
    broken.chmod(0o755)
    with pytest.raises(Problem, match="no libpython"):
        target.ask(str(broken))
    with pytest.raises(Problem, match="No such file"):
        target.ask(str(tmp_path / "absent"))


def test_only_what_is_committed_is_exported(checkout: Checkout, tmp_path: Path) -> None:
    checkout.check()
    (checkout.root.parent / "other.py").write_text("changed, but not ours")
    checkout.check()
    checkout.export(tmp_path / "tree")
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == ["main.py", "uv.lock"]


def test_uncommitted_changes_are_refused_and_named(checkout: Checkout) -> None:
    (checkout.root / "main.py").write_text("changed")
    (checkout.root / "new.py").write_text("new")
    with pytest.raises(Problem, match=r"uncommitted changes: .*main\.py, .*new\.py"):
        checkout.check()


def test_without_a_commit_it_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="git init && git add -A && git commit"):
        Checkout(tmp_path).check()


def test_without_a_committed_lock_it_says_what_to_type(checkout: Checkout) -> None:
    (checkout.root / "uv.lock").unlink()
    commit(checkout.root)
    with pytest.raises(Problem, match="uv lock && git add"):
        checkout.check()


def test_conditions_are_those_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def evaluate(markers: list[str], target: Target) -> list[bool]:
        asked.extend(markers)
        return [target.markers()["python_version"] in marker for marker in markers]

    monkeypatch.setattr(wheels, "evaluate", evaluate)
    lines = [
        "a==1 --hash=sha256:aa     --hash=sha256:ab",
        "b==2 ; python_version == '3.13' --hash=sha256:bb",
        "c==3 ; python_version == '3.12' --hash=sha256:cc",
    ]
    assert wheels.applying(lines, TRIXIE) == [
        "a==1 --hash=sha256:aa --hash=sha256:ab",
        "b==2 --hash=sha256:bb",
    ]
    assert asked == ["python_version == '3.13'", "python_version == '3.12'"]


def test_what_has_no_hash_is_refused_except_for_a_venv() -> None:
    with pytest.raises(Problem, match=r"\./own has no hash"):
        wheels.applying(["./own"], TRIXIE)
    assert wheels.applying(["./own"], TRIXIE, strict=False) == ["./own"]


def test_a_package_without_a_wheel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: Sequence[str], failure: str) -> str:
        raise Problem(failure, "ERROR: No matching distribution found for old-thing==1.0")

    monkeypatch.setattr(wheels, "run", run)
    with pytest.raises(Problem, match=r"old-thing==1\.0 has no wheel for python3\.13-x86_64"):
        wheels.fetch(Requirements(["old-thing==1.0"], []), [], tmp_path / "wheels", TRIXIE)
    assert not (tmp_path / "download.txt").exists()


def test_indexes_are_asked_here_and_not_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []

    def run(command: Sequence[str], failure: str) -> str:
        listed.append(Path(command[-1]).read_text())
        assert "secret" not in " ".join(command)
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= {*command}
        return ""

    monkeypatch.setattr(wheels, "run", run)
    requirements = Requirements(["a==1 --hash=sha256:aa"], ["--index-url https://u:secret@host/"])
    wheels.download(requirements, TRIXIE, tmp_path / "wheels")
    assert listed[0].splitlines()[1].startswith("pip==")
    assert listed[1].splitlines() == [*requirements.options, *requirements.lines]
    assert requirements.text == "a==1 --hash=sha256:aa\n"


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (Target("3.13", "aarch64", "glibc 2.36"), TRIXIE),
        (Target("3.13", "x86_64", "glibc 2.42"), TRIXIE),
        (Target("3.13", "x86_64", "musl 1.2"), TRIXIE),
    ],
)
def test_what_is_compiled_here_has_to_run_there(here: Target, there: Target) -> None:
    with pytest.raises(Problem, match="this machine"):
        environments.refuse_unlike(here, there)
    environments.refuse_unlike(Target("3.13", "x86_64", "glibc 2.9"), there)


def test_an_artifact_says_what_it_is(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: Any, strict: bool) -> Requirements:
        return Requirements(["a==1 --hash=sha256:aa"], [])

    def download(_: Requirements, __: Target, destination: Path) -> None:
        destination.mkdir()
        (destination / "a-1-py3-none-any.whl").write_text("wheel")

    monkeypatch.setattr(wheels, "locked", locked)
    monkeypatch.setattr(wheels, "download", download)
    path = build.build(checkout.root, "shop", TRIXIE, "wheels", tmp_path / "dist")
    manifest = artifact.read_manifest(path)
    assert (manifest.slug, manifest.kind, manifest.commit) == ("shop", "wheels", checkout.head())
    assert (manifest.python, manifest.machine, manifest.libc) == ("3.13", "x86_64", "glibc 2.41")
    assert datetime.now(UTC) >= datetime.fromisoformat(manifest.created)
    assert [entry.name for entry in (tmp_path / "dist").iterdir()] == [path.name]
    (tmp_path / "there").mkdir()
    artifact.unpack(path, tmp_path / "there")
    assert (tmp_path / "there" / "tree" / "main.py").read_text() == "committed"
    assert (tmp_path / "there" / "wheels" / "a-1-py3-none-any.whl").exists()
