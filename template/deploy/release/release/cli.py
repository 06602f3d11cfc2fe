"""The command line: one verb, with what it needs."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
from types import ModuleType

from release import options, say
from release.service import HERE, Service

VERBS = (
    "setup", "secret", "deploy", "rollback", "restart", "list", "status", "doctor", "maintenance",
    "exec", "tls", "prune", "build", "facts", "uninstall",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    modules = {verb: module for verb in VERBS if (module := _command(verb)) is not None}
    arguments = _parser(modules).parse_args(argv)
    module = modules[arguments.verb]
    # The service's user reads what root installs, whatever root's own habit is.
    os.umask(0o022)
    # Told to stop it clears up, as for Ctrl-C. A connection that is lost does not stop it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        if arguments.host:
            return _elsewhere(module, arguments, argv)
        code: int = module.run(arguments)
        return code
    except say.Problem as error:
        say.problem(error)
        return 1
    except KeyboardInterrupt:
        say.problem(say.Problem("interrupted"))
        return 130
    except OSError as error:
        say.problem(_reason(error))
        return 1


def _parser(modules: dict[str, ModuleType]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python3 {HERE.name if HERE.is_file() else 'deploy/release'}",
        description=f"Releases of {Service.load().slug}.",
        epilog="Every command has its own --help.",
        allow_abbrev=False,
    )
    parser.set_defaults(host=None, dry_run=False)
    options.add(parser)
    commands = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for verb, module in modules.items():
        command = commands.add_parser(
            verb,
            help=module.HELP,
            description=module.HELP,
            parents=[options.common()],
            allow_abbrev=False,
        )
        module.arguments(command)
    return parser


def _command(verb: str) -> ModuleType | None:
    name = f"release.commands.{verb}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def _reason(error: OSError) -> say.Problem:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return say.Problem(f"the disk is full{where}; make room, then try again")
    return say.Problem(f"{error.strerror or error}{where}")


def _elsewhere(module: ModuleType, arguments: argparse.Namespace, argv: list[str]) -> int:
    """Run a command on other hosts: a verb may know how, by `remote`, or it is sent as it is."""
    if hasattr(module, "remote"):
        code: int = module.remote(arguments)
        return code
    from release import remote

    return remote.forward(arguments.host, argv)
