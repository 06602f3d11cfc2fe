"""The installed uvicorn is one that the drain of `serving/` was tested with."""

import pytest
from uvicorn.protocols.http import h11_impl, httptools_impl

from serving import compatibility


@pytest.mark.parametrize("module", [h11_impl, httptools_impl])
def test_the_installed_uvicorn_is_known(module: object) -> None:
    """
    With any other version the server still runs, but a stop loses requests: the constraints in
    `pyproject.toml` keep it.
    """
    name = "H11Protocol" if module is h11_impl else "HttpToolsProtocol"
    assert compatibility.problems(getattr(module, name)) == []
