"""
The text of a failure: what failed, in which variant, the last lines of output, and the command that gets there.
"""

from __future__ import annotations

LINES = 40


def frame(text: str, *, title: str, lines: int = LINES) -> str:
    """
    The last lines of an output, framed, so that they stand out in a long report.
    """
    tail = text.rstrip().splitlines()[-lines:] or ["(nothing)"]
    body = "\n".join(f"│ {line}" for line in tail)
    return f"┌── {title}\n{body}\n└──"


def report(what: str, *, variant: str, output: str, reproduce: str) -> str:
    """
    One failure, complete.
    """
    return f"{what}\nvariant: {variant}\n{frame(output, title='last output')}\nto get there: {reproduce}"
