"""Fixtures of the tests that boot a server."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.serving.running import Server, Systemd

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers; they are gone when the test is over."""
    with ExitStack() as stack:
        yield lambda **environ: stack.enter_context(Server(tmp_path, **environ))


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    """Listen as systemd does. (In a short path: the address of a socket has room for about 100.)"""
    with tempfile.TemporaryDirectory() as directory:
        listening = Systemd(str(Path(directory) / "notify"))
        yield listening
        listening.close()
