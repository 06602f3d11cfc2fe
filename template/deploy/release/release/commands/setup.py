"""`release setup`: make this machine, or another, the service's host."""

from __future__ import annotations

import argparse
import json
import sys

from release import domains, say
from release.host import Host
from release.machine import Machine
from release.setup import Wishes, setup

HELP = "make a machine the service's host: user, directories, Python, units, proxy"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("--domain", default="", help="the name under which it is reached")
    parser.add_argument("--email", default="", help="where an authority writes about certificates")
    parser.add_argument("--port", type=int, default=0, help="where there is no unix socket")
    parser.add_argument(
        "--listen", default="", metavar="ADDRESS", help="beside loopback, for a load balancer"
    )
    parser.add_argument("--python", default="", metavar="PATH", help="the interpreter to use")
    parser.add_argument("--cpus", default="", metavar="N", help="limit of a run, for example 1.5")
    parser.add_argument("--memory", default="", metavar="SIZE", help="limit of a run: 512M, 30%%")
    parser.add_argument("--install", action="store_true", help="install missing packages")


def run(arguments: argparse.Namespace) -> int:
    """Set this machine up."""
    machine = Machine.of(arguments)
    if machine.service.proxy != "none":
        remembered = Host.recall(machine.paths.host).domain
        arguments.domain = domains.decide(arguments.domain, remembered, machine.service.domain)
    setup(machine, wishes(arguments))
    return 0


def remote(arguments: argparse.Namespace) -> int:
    """Set other machines up; the question about the domain is asked here."""
    from release.hosts import OURS, Hosts, without

    if arguments.domain:
        domains.refuse_nonsense(arguments.domain)
    service = Machine.of(arguments).service
    words = without(sys.argv[1:], (*OURS, "--domain"))
    with Hosts(arguments.host) as hosts:
        if service.proxy != "none":
            remembered = {json.loads(host.ask(["facts"]))["domain"] for host in hosts.connected}
            domain = remembered.pop() if len(remembered) == 1 else ""
            words += ["--domain", domains.decide(arguments.domain, domain, service.domain)]
        code = hosts.each(words)
    if code == 0:
        say.line()
        say.line(f"Then, here: make deploy HOST={' '.join(arguments.host)}")
    return code


def wishes(arguments: argparse.Namespace) -> Wishes:
    """Collect what was asked for."""
    names = ("domain", "email", "port", "listen", "python", "cpus", "memory", "install")
    return Wishes(**{name: getattr(arguments, name) for name in names})
