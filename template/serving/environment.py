"""Variables of the environment, read with an error message that names them."""

import math
from collections.abc import Mapping
from typing import NoReturn

Environment = Mapping[str, str]


class BadVariable(SystemExit):
    """
    A variable has a value that cannot be used; the message is for the operator.

    It is a SystemExit because gunicorn prints a traceback for anything else that leaves its
    configuration file: this ends the start with the one line and exit code 1.
    """


def text(environ: Environment, name: str, default: str) -> str:
    """Read a variable; empty counts as unset."""
    return environ.get(name, "").strip() or default


def choice(environ: Environment, name: str, default: str, choices: tuple[str, ...]) -> str:
    """Read one of a few words, in any case."""
    value = text(environ, name, default).lower()
    if value not in choices:
        reject(name, value, f"one of {', '.join(choices)}")
    return value


def whole(environ: Environment, name: str, default: int, least: int) -> int:
    """Read a whole number that is at least `least`."""
    value = text(environ, name, str(default))
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        reject(name, value, f"a whole number, {least} or more")
    return number


def seconds(environ: Environment, name: str, default: float, least: float = 0) -> float:
    """Read a time in seconds, fractions allowed, that is at least `least`."""
    value = text(environ, name, str(default))
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= least):
        reject(name, value, f"a number of seconds, {least:g} or more")
    return number


def reject(name: str, value: str, wanted: str) -> NoReturn:
    """End the start and say what to type."""
    raise BadVariable(f"{name}={value!r} is not {wanted}.")
