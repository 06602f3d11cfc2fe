"""The options that every command has."""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add them to a command line."""
    parser.add_argument(
        "--host",
        action="append",
        metavar="USER@HOST",
        help="do it there, over ssh; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="print every step, change nothing")


def common() -> argparse.ArgumentParser:
    """
    Return them as the parent of a command.

    They may stand before the verb and after it; what is left out here must not undo it there.
    """
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    add(parser)
    return parser
