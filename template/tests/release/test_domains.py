"""Domains and ports: what belongs to nobody, and what belongs to somebody else."""

from dataclasses import replace
from pathlib import Path

import pytest
from release import domains, ports
from release.say import Problem

from tests.release.machines import machine_in


def test_a_port_of_another_service_is_refused_and_a_free_one_named(tmp_path: Path) -> None:
    machine = machine_in(tmp_path, socket_path="")
    other = machine.paths.home.parent / "admin" / "host.json"
    other.parent.mkdir()
    other.write_text('{"port": 18230}')
    with pytest.raises(
        Problem, match=r"18230 belongs to the service admin; free is --port 182\d\d"
    ):
        ports.refuse_taken(machine, 18230)


def test_an_address_is_refused_where_it_is_none_or_nobody_needs_it(tmp_path: Path) -> None:
    machine = machine_in(tmp_path, socket_path="")
    ports.refuse_address(machine, "10.0.0.5")
    with pytest.raises(Problem, match="eth0 is not an address"):
        ports.refuse_address(machine, "eth0")
    proxied = replace(machine, service=replace(machine.service, proxy="proxy"))
    with pytest.raises(Problem, match="leave --listen out"):
        ports.refuse_address(proxied, "10.0.0.5")


@pytest.mark.parametrize(
    ("domain", "why"),
    [
        ("example.com", "belongs to nobody"),
        ("api.example.org", "belongs to nobody"),
        ("localhost", "is not a host name"),
        ("192.0.2.1", "is not a host name"),
        ("https://a.test", "is not a host name"),
        ("A.test", "is not a host name"),
    ],
)
def test_a_domain_of_nobody_is_refused(domain: str, why: str) -> None:
    with pytest.raises(Problem, match=why):
        domains.decide(domain, "", "")


def test_a_domain_is_asked_for_only_where_a_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = type("Terminal", (), {"isatty": lambda self: True})
    monkeypatch.setattr("sys.stdin", type("Pipe", (), {"isatty": lambda self: False})())
    assert domains.decide("", "known.test", "rendered.test") == "known.test"
    assert domains.decide("", "", "rendered.test") == "rendered.test"
    with pytest.raises(Problem, match="--domain"):
        domains.decide("", "", "api.example.com")
    answers = iter(["example.com", "Typed.test"])
    monkeypatch.setattr("sys.stdin", terminal())
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    assert domains.decide("", "", "api.example.com") == "typed.test"
