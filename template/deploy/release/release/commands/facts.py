"""`release facts`: what a release has to be built for here, as JSON; `deploy` asks it first."""

from __future__ import annotations

import argparse
import json

from release import runs
from release.host import Host
from release.machine import Machine
from release.target import ask, here

HELP = "print what a release has to be built for on this machine"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes: nothing."""


def run(arguments: argparse.Namespace) -> int:
    """Describe the interpreter of the service, or before the setup the one that runs this."""
    machine = Machine.of(arguments)
    host = Host.load(machine.paths.host)
    known = host is not None and bool(host.python)
    target = ask(host.python) if host is not None and known else here()
    run = runs.current(machine)
    answer = {
        "installed": known,
        "target": str(target),
        "python": host.python if host is not None else "",
        "domain": host.domain if host is not None else "",
        "release": run.release if run is not None else "",
    }
    print(json.dumps(answer))
    return 0
