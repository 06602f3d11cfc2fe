"""Setup and its way back, on a machine that is a directory."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from release import configuration, host, proxies, python, setup, users
from release.edges import Site
from release.machine import Machine
from release.say import Problem
from release.setup import Wishes
from release.shell import Result
from release.uninstall import uninstall

from tests.release.machines import OwnShell, machine_in, systemd_of

EXAMPLE = """\
# Every variable of the service, copied from somewhere.

# development or production
APP_ENV=development

# How much is logged.
# LOG_LEVEL=info

# A secret of another service, and a file of ours.
# API_TOKEN=change-me
# CACHE_FILE=STATE/cache

# Server
# BIND=127.0.0.1:8000
# WEB_CONCURRENCY=2
"""


class Proxy:
    """A proxy that objects to what says so."""

    name = "proxy"

    def __init__(self, root: Path) -> None:
        self.etc = root / "etc" / "proxy"
        self.missing: list[str] = []
        self.text = "good"

    def requirements(self, site: Site) -> list[str]:
        return self.missing

    def files(self, site: Site) -> dict[str, str]:
        return {str(self.etc / f"{site.slug}.conf"): f"{self.text} {site.domain}"}

    def keep(self, site: Site) -> dict[str, str]:
        key = {str(self.etc / site.slug / "key"): "-----BEGIN PRIVATE KEY-----"}
        return {str(self.etc / "host.conf"): "everybody's", **key}

    def check(self) -> list[str] | None:
        return ["sh", "-c", f"! grep -r bad {self.etc}"]

    def reload(self) -> list[str] | None:
        return ["sh", "-c", f"echo reload >> {self.etc}/reloads"]

    def advice(self, site: Site) -> list[str]:
        return [f"point {site.domain} here"]

    def leave(self, site: Site) -> list[list[str]]:
        return [["sh", "-c", f"echo {site.domain} >> {self.etc}/left"]]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a project, a proxy, and what only root may do left out."""
    machine = machine_in(tmp_path)
    machine.paths.environment.unlink()
    source = tmp_path / "project" / "deploy"
    (source / "systemd").mkdir(parents=True)
    for name in ("service.socket", "service@.service", "helper@.service"):
        (source / "systemd" / name).write_text(f"[Unit]\nDescription={name}\n")
    (source.parent / ".env.example").write_text(EXAMPLE.replace("STATE", str(machine.paths.state)))
    monkeypatch.setattr(Machine, "source", source)
    monkeypatch.setattr(Machine, "edge", Proxy(tmp_path))
    monkeypatch.setattr(Machine, "require_root", lambda self: None)
    monkeypatch.setattr(setup, "check_system", lambda machine: None)
    monkeypatch.setattr(users, "ensure", lambda machine: None)
    monkeypatch.setattr(users, "remove", lambda machine: None)
    monkeypatch.setattr(python, "choose", lambda machine, wanted, known: "/usr/bin/python3")
    return machine


def proxy_of(machine: Machine) -> Proxy:
    edge: object = machine.edge
    assert isinstance(edge, Proxy)
    return edge


def files_under(root: Path) -> dict[str, str]:
    found = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): path.read_text(errors="replace")
        for path in found
        if path.name not in ("lock", "reloads")
    }


def test_it_can_be_repeated(machine: Machine, tmp_path: Path) -> None:
    setup.setup(machine, Wishes(domain="one.test", cpus="1.5"))
    first = files_under(tmp_path)
    up = ["start proxy.service", "enable proxy.service"]
    assert systemd_of(machine).told == ["read units", *up]
    setup.setup(machine, Wishes())
    assert files_under(tmp_path) == first
    assert systemd_of(machine).told == ["read units", *up, "enable proxy.service"]
    assert (proxy_of(machine).etc / "reloads").read_text() == "reload\n"


def test_what_was_asked_for_is_remembered(machine: Machine) -> None:
    setup.setup(machine, Wishes(domain="one.test", email="a@one.test", memory="512M"))
    setup.setup(machine, Wishes(email="b@one.test"))
    known = host.Host.load(machine.paths.host)
    assert known is not None
    assert (known.domain, known.email) == ("one.test", "b@one.test")
    limits = machine.paths.drop_in("shop@.service", "limits.conf").read_text()
    assert limits.splitlines()[1:] == ["[Service]", "MemoryMax=512M"]


def test_units_are_named_after_the_service(machine: Machine) -> None:
    setup.setup(machine, Wishes())
    names = sorted(path.name for path in machine.paths.units.iterdir())
    assert names == ["shop-helper@.service", "shop.socket", "shop@.service"]


def test_a_dry_run_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    before = files_under(tmp_path)
    setup.setup(replace(machine, shell=OwnShell(dry=True)), Wishes(domain="one.test"))
    assert files_under(tmp_path) == before


def test_what_the_proxy_lacks_is_said_or_installed(machine: Machine) -> None:
    proxy_of(machine).missing = ["it is not installed: apt-get install proxy openssl"]
    with pytest.raises(Problem, match=r"apt-get install proxy openssl; .* --install"):
        setup.setup(machine, Wishes())


def test_what_the_proxy_lacks_is_installed_when_that_was_allowed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argv: Sequence[str], **options: Any) -> Result:
        if argv[0] == "apt-get":
            ran.append(" ".join(argv))
            proxy_of(machine).missing = []
        return subprocess.CompletedProcess(list(argv), 0, "", "")

    ran: list[str] = []
    monkeypatch.setattr(machine.shell, "run", run)
    proxy_of(machine).missing = ["it is not installed: apt-get install proxy openssl"]
    setup.setup(machine, Wishes(install=True))
    assert ran[1:] == ["apt-get install --yes --no-install-recommends openssl proxy"]


def test_the_first_environment_is_the_example_with_what_a_host_has(machine: Machine) -> None:
    configuration.prepare(machine)
    text = machine.paths.environment.read_text()
    assert "# LOG_LEVEL=info" in text
    assert "# API_TOKEN is a secret, and needed: release secret set API_TOKEN" in text
    assert f"\nCACHE_FILE={machine.paths.state}/cache\n" in text
    assert not {"APP_ENV=", "BIND=", "change-me"} & set(text.replace("=", "= ").split())
    assert configuration.needed_secrets(machine) == ["API_TOKEN"]


def test_the_operators_environment_is_never_touched(machine: Machine) -> None:
    machine.paths.environment.write_text("LOG_LEVEL=debug\n")
    setup.setup(machine, Wishes())
    assert machine.paths.environment.read_text() == "LOG_LEVEL=debug\n"


def test_a_proxy_that_objects_gets_its_files_back(machine: Machine) -> None:
    setup.setup(machine, Wishes(domain="one.test"))
    proxy_of(machine).text = "bad"
    with pytest.raises(Problem, match=r"refuses its new files .* taken back"):
        setup.setup(machine, Wishes(domain="two.test"))
    site = proxy_of(machine).etc / "shop.conf"
    assert site.read_text() == "good one.test"


def test_a_proxy_that_was_stopped_is_started(machine: Machine) -> None:
    setup.setup(machine, Wishes())
    systemd_of(machine).states["proxy.service"] = "failed"
    setup.setup(machine, Wishes())
    assert systemd_of(machine).is_active("proxy.service")


def test_a_proxy_that_does_not_start_gets_its_files_back(machine: Machine) -> None:
    systemd_of(machine).broken.add("proxy.service")
    with pytest.raises(Problem, match=r"proxy does not run with its new files .* back") as found:
        setup.setup(machine, Wishes())
    assert found.value.details == "the log of proxy.service"
    assert not (proxy_of(machine).etc / "shop.conf").exists()


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"port": "none"}'])
def test_what_is_remembered_may_be_damaged(machine: Machine, damage: str) -> None:
    machine.paths.host.write_text(damage)
    with pytest.raises(Problem, match=r"is damaged; run setup again"):
        host.Host.load(machine.paths.host)
    setup.setup(machine, Wishes(domain="one.test"))
    assert machine.host.domain == "one.test"


def test_a_proxy_that_objects_anyway_is_not_blamed_on_us(machine: Machine) -> None:
    proxy_of(machine).etc.mkdir(parents=True)
    (proxy_of(machine).etc / "other.conf").write_text("bad")
    with pytest.raises(Problem, match="refuses what was there before, too"):
        setup.setup(machine, Wishes(domain="one.test"))
    assert not (proxy_of(machine).etc / "shop.conf").exists()


def test_a_key_is_for_root_only_and_the_hosts_files_stay(machine: Machine) -> None:
    setup.setup(machine, Wishes())
    etc = proxy_of(machine).etc
    assert (etc / "shop" / "key").stat().st_mode & 0o777 == 0o600
    (etc / "host.conf").write_text("changed by the operator")
    setup.setup(machine, Wishes())
    proxies.remove(machine, machine.site(), purge=True)
    assert not (etc / "shop" / "key").exists()
    assert (etc / "host.conf").read_text() == "changed by the operator"


@pytest.mark.parametrize("purge", [False, True])
def test_nothing_stays_but_what_people_may_need(machine: Machine, purge: bool) -> None:
    setup.setup(machine, Wishes(cpus="1"))
    machine.paths.state.mkdir(parents=True)
    other = machine.paths.unit("shop-admin@.service")
    other.write_text("of a service that is called like this one, and then some")
    systemd_of(machine).states = {"shop@3.service": "active", "shop-admin@1.service": "active"}
    uninstall(machine, purge)
    assert not machine.paths.home.exists()
    assert sorted(path.name for path in machine.paths.units.iterdir()) == [other.name]
    assert machine.paths.etc.exists() is not purge
    assert machine.paths.state.exists() is not purge
    assert systemd_of(machine).states == {"shop-admin@1.service": "active"}
    assert (machine.paths.root / "etc/proxy/left").read_text() == "shop.test\n"
