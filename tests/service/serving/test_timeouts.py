"""The times of a stop, and the variables they are read from."""

import pytest

from serving import listener, logs, timeouts
from serving.environment import BadVariable, whole
from serving.timeouts import Phases


def test_phases_fill_the_graceful_timeout() -> None:
    """From TERM to the kill: accept, lame duck, a whole request budget, and the shutdown."""
    graceful = timeouts.graceful_seconds({}, request_seconds=30)
    phases = Phases.within(graceful, {})
    assert (phases.accept, phases.lame_duck, graceful) == (5, 3, 41)
    assert phases.requests >= 30
    used = phases.accept + phases.lame_duck + phases.requests + timeouts.SHUTDOWN_SECONDS
    assert used <= graceful


def test_an_inherited_socket_needs_no_accept_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the socket outlives the process, others accept."""
    monkeypatch.setattr(listener, "inherited", lambda: True)
    assert timeouts.graceful_seconds({}, request_seconds=30) == 36
    assert timeouts.first_phases({"ACCEPT_SECONDS": "2"})[0] == 2


@pytest.mark.parametrize("graceful", [1, 4, 9])
def test_a_short_graceful_timeout_shortens_the_phases(graceful: int) -> None:
    """Somebody who sets only gunicorn's number still gets an application shutdown."""
    phases = Phases.within(graceful, {})
    assert phases.requests > 0
    assert phases.accept + phases.lame_duck + phases.requests < graceful


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
@pytest.mark.parametrize("name", ["REQUEST_SECONDS", "ACCEPT_SECONDS", "LAME_DUCK_SECONDS"])
def test_bad_times_are_refused_by_name(name: str, value: str) -> None:
    """The message names the variable and what it holds."""
    with pytest.raises(BadVariable, match=f"{name}='{value}'"):
        timeouts.graceful_seconds({name: value}, request_seconds=30)


def test_other_bad_values_are_refused_by_name() -> None:
    """So are whole numbers and words."""
    with pytest.raises(BadVariable, match="HEARTBEAT_SECONDS='1' is not a whole number, 2 or more"):
        whole({"HEARTBEAT_SECONDS": "1"}, "HEARTBEAT_SECONDS", 30, least=2)
    with pytest.raises(BadVariable, match="LOG_LEVEL='loud' is not one of debug"):
        logs.level({"LOG_LEVEL": "loud"})


def test_where_to_listen() -> None:
    """BIND takes several addresses, and PORT never opens a port by itself."""
    assert listener.bind({}) == ["127.0.0.1:8000"]
    assert listener.bind({"BIND": "[::1]:80, unix:/run/a.sock", "PORT": "9"}) == [
        "[::1]:80",
        "unix:/run/a.sock",
    ]
    assert listener.ignored_port({"PORT": "9", "BIND": "[::1]:80"}) is None
    assert "BIND=0.0.0.0:9" in (listener.ignored_port({"PORT": "9"}) or "")
