"""Fixtures of the tests that boot a server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.service.serving.running import Server

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers; they are gone when the test is over."""
    with ExitStack() as stack:
        yield lambda **environ: stack.enter_context(Server(tmp_path, **environ))
