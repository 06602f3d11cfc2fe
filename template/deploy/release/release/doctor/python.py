"""The interpreter: still there, still executable, the same as the release was made with."""

from __future__ import annotations

from collections.abc import Iterator

from release import python, runs
from release.doctor import Finding, fail, ok
from release.machine import Machine

TITLE = "Python"


def check(machine: Machine) -> Iterator[Finding]:
    """Look at the host's interpreter and at the one of the current release."""
    path = machine.host.python
    if trouble := python.refuse(machine, path):
        advice = "release setup, perhaps with --python PATH; then release deploy"
        yield fail(f"{path}: {trouble}", advice)
    else:
        yield ok(f"{path}, and {machine.slug} can execute it")
    run = runs.current(machine)
    if run is None:
        return
    own = runs.release_of(machine, run) / ".venv" / "bin" / "python"
    # A distribution's upgrade replaces the interpreter below the environment: a restart would fail.
    done = machine.shell.ask([str(own), "-c", "import gunicorn"], user=machine.slug)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it does not run"])[-1]
        yield fail(
            f"the environment of {run.release} is broken: {said}",
            "release setup, then release deploy",
        )
    else:
        yield ok(f"the environment of {run.release} works")
