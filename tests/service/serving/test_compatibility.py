"""The worker recognises a uvicorn that it was not tested with."""

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.server import Server

from serving import compatibility


def test_another_series_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that was never tested is named."""
    monkeypatch.setattr(uvicorn, "__version__", "0.99.1")
    assert (
        "uvicorn 0.99.1 is not among" in compatibility.problems(httptools_impl.HttpToolsProtocol)[0]
    )


def test_missing_names_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is each name that is gone."""

    class Bare:
        def __init__(self) -> None:
            pass

    monkeypatch.delattr(Server, "on_tick")
    monkeypatch.setattr(httptools_impl, "RequestResponseCycle", Bare)
    found = compatibility.problems(httptools_impl.HttpToolsProtocol)
    assert found == [
        "uvicorn.Server.on_tick does not exist",
        "RequestResponseCycle.default_headers does not exist",
        "RequestResponseCycle.response_started does not exist",
    ]
