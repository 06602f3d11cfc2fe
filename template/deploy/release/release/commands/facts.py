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
    # Setup asks first as well, and mends what is damaged.
    host = Host.recall(machine.paths.host)
    target = ask(host.python) if host.python else here()
    run = runs.current(machine)
    answer = {
        "installed": bool(host.python),
        "target": str(target),
        "python": host.python,
        "domain": host.domain,
        "release": run.release if run is not None else "",
    }
    print(json.dumps(answer))
    return 0
