"""The address at which the service listens."""

import pytest

from serving.environment import BadVariable
from serving.listener import bind


@pytest.mark.parametrize(
    "value",
    ["127.0.0.1:8000", ":8000", "[::1]:8000", "localhost:80", "unix:/run/a b.sock", "fd://3"],
)
def test_addresses_are_taken_as_they_are(value: str) -> None:
    """In every form that gunicorn knows, one or several."""
    assert bind({"BIND": value}) == [value]
    assert bind({"BIND": f"{value}, :9000"}) == [value, ":9000"]


@pytest.mark.parametrize("value", [",", "8000", "127.0.0.1", ":99999", "http://:80", "::1:80"])
def test_what_is_no_address_is_refused_with_an_example(value: str) -> None:
    """And not by a traceback from the depths of the socket module."""
    with pytest.raises(BadVariable, match=r"BIND=.* for example 0\.0\.0\.0:8000"):
        bind({"BIND": value})
