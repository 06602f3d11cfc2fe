"""The wheels of a release: what uv.lock says, for the host's Python, with their hashes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from release.say import Problem
from release.target import Target

# Travels with every release and installs it: the host needs no pip, no venv package and no index.
PIP = "pip==26.3 --hash=sha256:f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"

# pip evaluates conditions for the machine it runs on, not for the one it downloads for.
EVALUATE = """
import json, sys
from pip._vendor.packaging.markers import Marker
question = json.load(sys.stdin)
print(json.dumps([Marker(each).evaluate(question["environment"]) for each in question["markers"]]))
"""

# So many lines of what a program said before it failed are shown.
SAID = 12

MISSING = re.compile(r"No matching distribution found for (\S+)")


@dataclass(frozen=True)
class Requirements:
    """`lines` are pinned and hashed, one package each; `options` name the indexes."""

    lines: list[str]
    options: list[str]

    @property
    def text(self) -> str:
        """What pip reads on the host, which asks no index."""
        return "".join(f"{line}\n" for line in self.lines)


def locked(root: Path, target: Target, strict: bool = True) -> Requirements:
    """Export what uv.lock says for production, for one target; `strict` wants hashes."""
    export = ["uv", "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"]
    export += ["--no-header", "--no-annotate", "--emit-index-url", f"--project={root}"]
    text = run(export, "uv.lock cannot be exported")
    logical = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    options = [line for line in logical if line.startswith("--")]
    lines = [line for line in logical if line and not line.startswith(("--", "#"))]
    return Requirements(applying(lines, target, strict), options)


def applying(lines: Sequence[str], target: Target, strict: bool = True) -> list[str]:
    """Keep the lines whose conditions hold on the target, without the conditions."""
    kept: list[tuple[str, str]] = []
    for line in lines:
        requirement, *hashes = line.split(" --hash=")
        package, _, marker = requirement.partition(" ; ")
        if strict and not hashes:
            raise Problem(
                f"{package.split(' ')[0]} has no hash in uv.lock (a path or a repository?); "
                "a release holds published packages: publish it, or deploy with --kind venv"
            )
        kept.append((" --hash=".join(part.strip() for part in [package, *hashes]), marker))
    markers = [marker for _, marker in kept if marker]
    truths = iter(evaluate(markers, target) if markers else [])
    return [line for line, marker in kept if not marker or next(truths)]


def evaluate(markers: list[str], target: Target) -> list[bool]:
    """Decide whether conditions hold on the target."""
    question = json.dumps({"environment": target.markers(), "markers": markers})
    answer = run([*python_with_pip(), "-c", EVALUATE], "the conditions cannot be read", question)
    result: list[bool] = json.loads(answer)
    return result


def download(requirements: Requirements, target: Target, destination: Path) -> None:
    """Fill a folder with the wheels of a target, and with pip's own."""
    pip(requirements, destination)
    options = ["--implementation", "cp", "--python-version", target.python]
    for platform in target.platforms():
        options += ["--platform", platform]
    fetch(requirements, options, destination, target)


def pip(requirements: Requirements, destination: Path) -> None:
    """Fill a folder with pip's own wheel only."""
    destination.mkdir(parents=True)
    fetch(Requirements([PIP], requirements.options), [], destination)


def fetch(
    requirements: Requirements,
    options: list[str],
    destination: Path,
    target: Target | None = None,
) -> None:
    """Download wheels, each checked against its hash."""
    listed = destination.parent / "download.txt"
    # Not on the command line: an index may have a password.
    listed.write_text("\n".join([*requirements.options, *requirements.lines, ""]))
    command = [*python_with_pip(), "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
    command += [*options, "--dest", str(destination), "--requirement", str(listed)]
    try:
        run(command, "the wheels cannot be downloaded")
    except Problem as problem:
        if found := MISSING.search(problem.details):
            raise Problem(
                f"{found[1]} has no wheel for {target}; "
                "take a version that has one, or build on a machine like the host: --kind venv"
            ) from None
        raise
    finally:
        listed.unlink()


def python_with_pip() -> list[str]:
    """Name a Python that has pip, wherever uv is."""
    pinned = PIP.split()[0]
    # Not the project's environment, which has no pip.
    return ["uv", "run", "--quiet", "--no-project", "--isolated", f"--with={pinned}", "python"]


def run(
    command: list[str],
    failure: str,
    given: str | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    """Run a program of the client; its error is the problem's text."""
    if not shutil.which(command[0]):
        raise Problem(
            "uv is missing; to install it: https://docs.astral.sh/uv/getting-started/installation/"
        )
    done = subprocess.run(
        command,
        input=given,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        raise Problem(failure, "\n".join(lines[-SAID:]))
    return done.stdout
