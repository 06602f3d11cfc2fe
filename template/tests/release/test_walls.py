"""A command that is run as the service would: the same walls, and the log that people see."""

import json
from pathlib import Path

import pytest
from release import journal, transient
from release.machine import Machine
from release.say import Problem

from tests.release.machines import create, install, machine_in

RELEASE = "20260101T000000Z-0000001"
UNIT = """\
[Unit]
Description=run %i

[Service]
User=shop
# A comment
EnvironmentFile=/opt/shop/runs/%i/environment
ExecStart=/opt/shop/runs/%i/release/.venv/bin/python -m gunicorn app.main:app
Type=notify
Restart=on-failure
Sockets=shop.socket
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=shop.target
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a run and an installed unit."""
    machine = machine_in(tmp_path)
    install(machine, RELEASE, [".venv/bin/gunicorn"])
    (machine.paths.credentials / "API_TOKEN").write_text("s3cret")
    create(machine, RELEASE)
    machine.paths.unit("shop@.service").write_text(UNIT)
    return machine


def test_a_command_has_the_walls_and_secrets_of_the_run(machine: Machine) -> None:
    words = transient.command(machine, 1, ["gunicorn", "--version"])
    properties = [word.partition("=")[2] for word in words if word.startswith("--property=")]
    assert properties == [
        "User=shop",
        "EnvironmentFile=/opt/shop/runs/1/environment",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged",
        f"LoadCredential=API_TOKEN:{machine.paths.runs}/1/credentials/API_TOKEN",
    ]
    home = machine.paths.runs / "1" / "release" / ".venv" / "bin"
    assert words[words.index("--") + 1 :] == [str(home / "gunicorn"), "--version"]
    assert "--pipe" in words
    assert "--pty" in transient.command(machine, 1, ["gunicorn"], terminal=True)


def test_a_command_of_the_system_is_found_and_a_missing_one_named(machine: Machine) -> None:
    assert transient.command(machine, 1, ["sh"])[-1].endswith("/sh")
    assert transient.command(machine, 1, ["/bin/anything"])[-1] == "/bin/anything"
    with pytest.raises(Problem, match="there is no command no-such-command"):
        transient.command(machine, 1, ["no-such-command"])


def test_the_log_of_a_failed_start_is_fit_to_read() -> None:
    def line(level: str, event: str, **values: str) -> str:
        return json.dumps({"level": level, "event": event, **values})

    traceback = "\n".join(["Traceback:", *(f"  line {number}" for number in range(9)), "KeyError"])
    text = "\n".join(
        [
            line("info", "Starting"),
            line("error", "The application cannot be loaded", exception=traceback),
            line("error", "The application cannot be loaded", exception=traceback),
            line("warning", "dependency is down", check="cache", reason="refused"),
            "shop@1.service: Failed with result 'exit-code'.",
            "[1, 2]",
        ]
    )
    assert journal.readable(text).splitlines() == [
        "error: The application cannot be loaded",
        *(f"      line {number}" for number in range(4, 9)),
        "    KeyError",
        "warning: dependency is down check=cache reason=refused",
        "shop@1.service: Failed with result 'exit-code'.",
        "[1, 2]",
    ]
