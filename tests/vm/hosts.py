"""
The set-up of a machine as a host in these tests, by the commands of the rendered docs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.project import Project
from tests.vm.database import create_database
from tests.vm.host import Host
from tests.vm.operator import Operator

DOMAIN = "service.test"


def on(*suites: str) -> pytest.MarkDecorator:
    """
    Run a test on these systems only: `@on("trixie")`.
    """
    return pytest.mark.parametrize("host", suites, indirect=True, scope="session")


def install(machine: Machine, project: Project, folder: Path, *, domain: str = DOMAIN) -> Host:
    """
    Set a machine up and deploy a first release, which is then served.
    """
    host = Host(machine, Operator.of(project, folder), domain)
    host.push_project()
    host.setup()
    if project.facts["has_postgresql"]:
        host.set_secret("DATABASE_URL", create_database(machine, host.slug))
    host.operator.build(*target_of(machine))
    host.deploy(host.operator.first)
    return host


def target_of(machine: Machine) -> tuple[str, str]:
    """
    The Python and the kind of a machine, as deploy/remote asks for them.
    """
    question = "import platform; print(*platform.python_version_tuple()[:2], sep='.'); print(platform.machine())"
    python, kind = machine.run("python3", "-c", question).stdout.split()
    return python, kind
