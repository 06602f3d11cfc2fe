"""What the doctor asks the database."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from release import runs, transient
from release.doctor import Finding, database
from release.machine import Machine
from release.runs import Run
from release.shell import Result

from tests.release.machines import install, machine_in


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which run 1 serves, with two workers."""
    machine = machine_in(tmp_path)
    install(machine, "r1")
    run = Run(1, "r1", "deploy", "")
    runs.create(machine, run)
    monkeypatch.setattr(runs, "current", lambda machine: run)
    monkeypatch.setattr(transient, "command", lambda machine, number, words: words)
    monkeypatch.setattr(database, "workers", lambda machine, run: 2)
    return machine


def check(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, output: str, code: int = 0
) -> list[Finding]:
    def ask(argv: Sequence[str], **options: Any) -> Result:
        return subprocess.CompletedProcess(list(argv), code, output, output)

    monkeypatch.setattr(machine.shell, "ask", ask)
    return list(database.check(machine))


@pytest.mark.parametrize(
    ("limit", "levels"), [(40, ["ok", "ok"]), (39, ["ok", "warn"]), (None, ["ok"])]
)
def test_two_generations_of_workers_have_to_fit(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, limit: int | None, levels: list[str]
) -> None:
    found = check(machine, monkeypatch, json.dumps({"each": 10, "limit": limit}))
    assert [finding.level for finding in found] == levels


def test_one_that_does_not_answer_is_said_with_its_reason(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = check(machine, monkeypatch, "warning\nno password supplied\n", 1)
    assert (found.level, found.text) == ("fail", "it does not answer: no password supplied")
