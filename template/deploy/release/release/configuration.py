"""What the operator configures: the environment and the secrets, and how they start out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from release.machine import Machine

PLACEHOLDER = "change-me"

# The unit sets the first; the others are the socket's.
NOT_HERE = ("APP_ENV", "BIND", "ACCEPT_SECONDS")

VARIABLE = re.compile(r"#? ?([A-Z][A-Z0-9_]*)=(.*)")

HEADING = """\
# The environment of {slug} on this machine: NAME=value, one a line. Empty means unset.
# A change takes effect with the next deploy, or at once with: release restart
# Secrets are not written here. One file each, which only root reads: release secret set NAME
"""


def prepare(machine: Machine) -> None:
    """Make the places, and a first environment; what is there stays as it is."""
    paths, shell, group = machine.paths, machine.shell, machine.slug
    shell.directory(paths.etc)
    shell.directory(paths.credentials, 0o700)
    if not paths.environment.exists():
        shell.write(paths.environment, first_environment(machine), 0o640, group)


def first_environment(machine: Machine) -> str:
    """Write every variable with its explanation, from the project's own example."""
    example = machine.source.parent / ".env.example"
    text = example.read_text(encoding="utf-8") if example.is_file() else ""
    heading = HEADING.format(slug=machine.slug)
    return "\n\n".join([heading.rstrip("\n"), *paragraphs(text, str(machine.paths.state))]) + "\n"


def paragraphs(text: str, state: str) -> Iterator[str]:
    """Give the paragraphs of the example that belong on a host."""
    for paragraph in text.strip().split("\n\n"):
        lines = [turned for line in paragraph.splitlines() for turned in turn(line, state)]
        if any(VARIABLE.match(line) or "release secret" in line for line in lines):
            yield "\n".join(lines)


def turn(line: str, state: str) -> Iterator[str]:
    """Turn a line of the example into what it is on a host; some are nothing there."""
    variable = VARIABLE.fullmatch(line)
    if variable is None:
        yield line
        return
    name, value = variable.groups()
    if name in NOT_HERE:
        return
    if PLACEHOLDER in value:
        yield f"# {name} is a secret, and needed: release secret set {name}"
    elif state in value:
        # It names the service's own place on this machine, so it is right as it is.
        yield f"{name}={value}"
    else:
        yield f"# {name}={value}"


def needed_secrets(machine: Machine) -> list[str]:
    """Name the secrets that the example has a placeholder for."""
    example = machine.source.parent / ".env.example"
    text = example.read_text(encoding="utf-8") if example.is_file() else ""
    found = [VARIABLE.fullmatch(line) for line in text.splitlines()]
    return [match[1] for match in found if match and PLACEHOLDER in match[2]]
