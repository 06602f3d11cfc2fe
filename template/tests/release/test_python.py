"""Which interpreter is taken, and why another is not."""

import shutil
from pathlib import Path

import pytest
from release import python
from release.machine import Machine
from release.say import Problem

from tests.release.machines import machine_in


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_that_is_too_old_or_hidden_is_refused(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = machine.shell.ask
    monkeypatch.setattr(machine.shell, "ask", lambda argv, user: ask(argv))
    monkeypatch.setattr(python, "HIDDEN", (f"{tmp_path}/home",))
    old = script(tmp_path / "python", "echo 3.9")
    assert python.refuse(machine, old) == "it is Python 3.9, and 3.11 or later is needed"
    (tmp_path / "home").mkdir()
    hidden = script(tmp_path / "home" / "python", "echo 3.13")
    assert "203/EXEC" in str(python.refuse(machine, hidden))
    (tmp_path / "link").symlink_to(hidden)
    assert "203/EXEC" in str(python.refuse(machine, str(tmp_path / "link")))
    assert python.refuse(machine, script(tmp_path / "good", "echo 3.13")) is None
    assert python.refuse(machine, str(tmp_path / "absent")) == "it does not exist"


def test_what_keeps_the_user_from_executing_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    inside = script(tmp_path / "closed" / "python", "")
    (tmp_path / "closed").chmod(0o700)
    # The first from above: directories of tests are often closed themselves.
    above = [*reversed(tmp_path.parents), tmp_path, tmp_path / "closed"]
    first = next(folder for folder in above if not folder.stat().st_mode & 0o001)
    assert f"may not enter {first} (mode 0700" in str(python.closed(inside))


def test_the_order_in_which_interpreters_are_tried(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("python3.9", "python3.13", "python3.11-config", "python3.11"):
        script(tmp_path / name, "")
    monkeypatch.setattr(python, "FOLDERS", (str(tmp_path),))
    found = python.of_the_system()
    assert found[0] == python.DISTRIBUTION
    assert [Path(path).name for path in found[1:4]] == ["python3.13", "python3.11", "python3.9"]
    monkeypatch.setattr(python, "refuse", lambda machine, path: "no" if "3.13" in path else None)
    monkeypatch.setattr(python, "DISTRIBUTION", str(tmp_path / "absent"))
    assert python.choose(machine, "", "") == str(tmp_path / "python3.11")
    with pytest.raises(Problem, match=r"python3\.13 cannot be used: no"):
        python.choose(machine, str(tmp_path / "python3.13"), "")


def test_without_any_interpreter_it_says_how_to_get_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python, "refuse", lambda machine, path: "too old")
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(Problem, match="--python, or install uv"):
        python.choose(machine, "", "")
