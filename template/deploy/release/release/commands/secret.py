"""Secrets of the service."""

from __future__ import annotations

import argparse
import getpass
import sys

from release import credentials, lock, runs, say
from release.machine import Machine
from release.options import common
from release.say import Problem

HELP = "set, list or unset secrets; the value is read from standard input"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(action: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(action, help=text, parents=[common()], allow_abbrev=False)

    for action, text in (
        ("set", "read a secret from standard input and keep it"),
        ("unset", "forget a secret"),
    ):
        add(action, text).add_argument("name", metavar="NAME")
    add("list", "list the names")


def run(arguments: argparse.Namespace) -> int:
    """Do one of them."""
    machine = Machine.of(arguments)
    machine.require_root()
    if arguments.action == "list":
        show(machine)
        return 0
    name: str = arguments.name
    path = machine.paths.credentials / name
    value = value_of(name) if arguments.action == "set" else ""
    with lock.hold(machine.paths.lock, "secret", machine.shell):
        if arguments.action == "set":
            credentials.check(name, value)
            machine.shell.directory(machine.paths.credentials, mode=0o700)
            machine.shell.write(path, value, mode=0o600)
        else:
            if not credentials.NAME.fullmatch(name) or not path.is_file():
                raise Problem(f"there is no secret {name}; see: {say.TOOL} secret list")
            machine.shell.remove(path)
    done = "kept" if value else "forgotten"
    text = f"{name} is {done}; a running service reads it at: {say.TOOL} restart"
    say.done(text, machine.shell.dry)
    return 0


def value_of(name: str) -> str:
    """Read the secret: unseen from a terminal, whole from a pipe, without the last line's end."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{name}: ")
    try:
        value = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise Problem(f"the value of {name} is not UTF-8; encode it, with base64") from None
    for end in ("\n", "\r"):
        value = value[: -len(end)] if value.endswith(end) else value
    return value


def show(machine: Machine) -> None:
    """List the names, and whether the current run has what is kept."""
    current = runs.current(machine)
    kept = credentials.read(machine.paths.credentials)
    copied = {}
    if current:
        copied = credentials.read(machine.paths.runs / str(current.number) / "credentials")
    for name in sorted({*kept, *copied}):
        told = "" if not current or kept.get(name) == copied.get(name) else "  (changed: restart)"
        say.line(f"{name}{told}")
    if not kept and not copied:
        say.line("there are no secrets")
