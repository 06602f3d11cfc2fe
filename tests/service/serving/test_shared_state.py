"""The shared state: each worker knows how many others serve."""

import subprocess
import sys

from tests.service.serving import turns
from tests.service.serving.running import PATIENCE, ROOT


def test_of_those_who_ask_at_once_one_may_leave() -> None:
    """Never two: with both gone clients would wait for a start. And never none."""
    words = [sys.executable, "-m", turns.__name__]
    asked = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=4 * PATIENCE, check=False
    )
    assert asked.stderr == ""
    rounds = sorted(int(number) for number in asked.stdout.split())
    assert rounds == list(range(turns.ROUNDS))
