"""Configuration: who may read it, and whether the service could start with it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

from release import configuration, credentials, environment, runs, transient
from release.doctor import Finding, fail, ok, warn
from release.machine import Machine

TITLE = "environment"

# Run by the release, as the service. What is on the host now is put in the place of what the run
# was started with, so this tells whether the next start will work.
QUESTION = """
import json, os, runpy, sys
given = json.load(sys.stdin)
os.environ.pop("CREDENTIALS_DIRECTORY", None)
os.environ.update(given)
from app.settings import Settings
try:
    Settings.load()
    runpy.run_path("gunicorn.conf.py")
except Exception as error:
    sys.exit(getattr(error, "operator_message", f"{type(error).__name__}: {error}"))
"""


def check(machine: Machine) -> Iterator[Finding]:
    """Look at modes, placeholders and what has changed, then ask the release itself."""
    paths = machine.paths
    variables = environment.read(paths.environment)
    secrets = credentials.read(paths.credentials)
    yield from modes(machine, [paths.credentials / name for name in secrets])
    for name in variables:
        if configuration.PLACEHOLDER in variables[name]:
            yield fail(f"{name} is still a placeholder", f"edit {paths.environment}")
        if name in secrets:
            yield warn(
                f"{name} is a secret and in {paths.environment} too, where it wins",
                f"take it out of {paths.environment}",
            )
        elif name == "APP_ENV" and variables[name] != "production":
            yield fail("APP_ENV is not production", f"take it out of {paths.environment}")
    run = runs.current(machine)
    if run is None:
        return
    copied = paths.runs / str(run.number)
    if environment.read(copied / "environment") != variables:
        yield warn(f"the environment is not that of run {run.number}", "release restart")
    if credentials.read(copied / "credentials") != secrets:
        yield warn(f"the secrets are not those of run {run.number}", "release restart")
    yield ask(machine, run.number, variables, secrets)


def modes(machine: Machine, secrets: list[Path]) -> Iterator[Finding]:
    """See that only root reads secrets, and that nobody else writes the environment."""
    wanted = {machine.paths.credentials: 0o700, machine.paths.environment: 0o640}
    wanted.update(dict.fromkeys(secrets, 0o600))
    wrong = False
    for path, mode in wanted.items():
        if not path.exists():
            yield fail(f"{path} is missing", "release setup")
            continue
        found = path.stat()
        if stat.S_IMODE(found.st_mode) & ~mode or found.st_uid != 0:
            wrong = True
            yield fail(
                f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, owner {found.st_uid}",
                f"chown root {path}; chmod {mode:04o} {path}",
            )
    if not wrong:
        yield ok(f"{len(secrets)} secrets, which only root reads")


def ask(
    machine: Machine, run: int, variables: dict[str, str], secrets: dict[str, bytes]
) -> Finding:
    """Have the release read its settings."""
    given = {name: value.strip("\"'") for name, value in variables.items()}
    given.update({name: value.decode(errors="replace") for name, value in secrets.items()})
    command = transient.command(machine, run, ["python", "-c", QUESTION])
    done = machine.shell.ask(command, stdin=json.dumps({"APP_ENV": "production", **given}))
    if done.returncode == 0:
        return ok("the release accepts it")
    said = [line[4:] for line in done.stderr.splitlines() if line.startswith("  - ")]
    text = "; ".join(said) or (done.stderr.strip().splitlines() or ["no reason"])[-1]
    return fail(
        f"the release refuses it: {text}",
        "set what it names, in the file of the environment or as a secret",
    )
