"""
A run gets the environment and the secrets of its operator, as they were typed, and nobody else does.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.host import Host
from tests.vm.hosts import on

#: A line that systemd would read differently, as the table in tests/render/test_host.py has them all.
DIFFERENT = ("FOLDER=C:\\", 'GREETING="two words', "export LOG_LEVEL=debug")


@on("trixie")
def test_a_run_gets_the_environment_as_it_was_typed(host: Host) -> None:
    """
    Quotes and backslashes arrive, a comment does not swallow the next line, and what is empty is not there: neither for
    gunicorn, which stumbles over it, nor when it is the last line.
    """
    path = host.machine / f"etc/{host.slug}/environment"
    text = path.read_text()
    lines = ["# a comment: C:\\", "GREETING='two words'", "PATTERN='a\\d \"x\"'", 'LOG_LEVEL=""', "WEB_CONCURRENCY="]
    try:
        path.write_text(text.rstrip("\n") + "\n" + "\n".join(lines))
        host.release("restart")
        found = environment_of(host)
        assert found["GREETING"] == "two words"
        assert found["PATTERN"] == 'a\\d "x"'
        assert "LOG_LEVEL" not in found
        assert "WEB_CONCURRENCY" not in found
        assert host.ready_status() == 200
        # In a command of the same release, too.
        out = host.release("exec", "--", "python", "-c", "import os; print(os.environ['PATTERN'])").stdout
        assert out == 'a\\d "x"\n'
    finally:
        path.write_text(text)
        host.release("restart")


@on("trixie")
def test_an_environment_that_would_be_read_differently_is_refused(host: Host) -> None:
    """
    The line is named, and the old run serves on with what it has.
    """
    path = host.machine / f"etc/{host.slug}/environment"
    text, run = path.read_text(), host.run
    number = len(text.splitlines()) + 1
    try:
        for line in DIFFERENT:
            path.write_text(f"{text}{line}\nLAST=1\n")
            done = host.release("restart", check=False)
            assert done.returncode == 1, line
            assert f"/etc/{host.slug}/environment, line {number}: " in done.stdout, done.stdout
            assert "Traceback" not in done.stdout
            assert host.run == run
    finally:
        path.write_text(text)
    assert [path.name for path in (host.machine / f"opt/{host.slug}/runs").iterdir() if path.name == f"{run + 1}"] == []


@on("trixie")
def test_the_environment_of_the_operator_is_never_overwritten(host: Host) -> None:
    """
    Not by a set-up, a deploy, a restart or a rollback; neither are the secrets.
    """
    etc = host.machine / f"etc/{host.slug}"
    environment = etc / "environment"
    text = environment.read_text()
    environment.write_text(f"{text}# mine\n")
    names = ("environment", "credentials/DATABASE_URL", "domain", "email")
    before = {name: ((etc / name).read_bytes(), (etc / name).stat().st_mtime_ns) for name in names}
    try:
        host.setup()
        host.deploy_edited({"static/robots.txt": "kept\n"})
        host.release("rollback")
        assert {name: ((etc / name).read_bytes(), (etc / name).stat().st_mtime_ns) for name in names} == before
    finally:
        environment.write_text(text)


@on("trixie")
def test_a_secret_is_seen_by_nobody_else(host: Host) -> None:
    """
    From the moment it is typed until the service has it: in no command line of the machine, no log, no release, no
    environment, and no file that others can read.
    """
    value, name = f"s3cret-{secrets.token_hex(16)} 'and' \"more\"", "NOBODYS_SECRET"
    try:
        with command_lines() as seen:
            host.set_secret(name, f"{value}\r\n")
            host.deploy_edited({"static/robots.txt": "secret\n"})
            host.release("exec", "--", "true")
        assert any(f"{host.slug}@{host.run}" in line for line in seen), "nothing was seen"
        part = value[:30]
        assert not [line for line in seen if part in line]
        unit = host.unit(host.run)
        assert part not in host.machine.journal()
        for pid in host.machine.processes_of(unit):
            assert part not in (host.machine / f"proc/{pid}/environ").read_text(errors="replace")

        found = host.machine.run(
            "grep", "-rlF", part, "/etc", "/opt", "/var", "/run", "/tmp", "/root", check=False
        ).stdout
        secret = f"/etc/{host.slug}/credentials/{name}"
        copy = f"/opt/{host.slug}/runs/{host.run}/credentials/{name}"
        # The last one is systemd's, for the user of the unit.
        assert sorted(found.split()) == sorted([secret, copy, f"/run/credentials/{unit}/secret_{name}"])
        for path in (secret, copy):
            file, folder = (host.machine / path).stat(), (host.machine / path).parent.stat()
            assert (oct(file.st_mode)[-3:], oct(folder.st_mode)[-3:], file.st_uid, folder.st_uid) == (
                "400",
                "700",
                0,
                0,
            )
        assert (host.machine / secret).read_text() == value
        assert host.machine.run("cat", secret, user="nobody", check=False).returncode != 0
        assert host.machine.run("cat", copy, user=host.slug, check=False).returncode != 0
    finally:
        host.machine.run("rm", "-f", f"/etc/{host.slug}/credentials/{name}")
        host.release("restart")
    assert not (host.machine / f"opt/{host.slug}/runs/{host.run}/credentials/{name}").exists()


@on("trixie")
def test_what_is_no_secret_is_refused(host: Host) -> None:
    """
    A name that no variable has, nothing typed, a NUL: told, and nothing is stored. The bytes that are typed are kept.
    """
    folder = host.machine / f"etc/{host.slug}/credentials"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, value in (
        ("lower", "x"),
        ("../environment", "x"),
        ("WITH-HYPHEN", "x"),
        ("", "x"),
        ("1ST", "x"),
        ("ÄRGER", "x"),
        ("API_TOKEN\n", "x"),
        ("API_TOKEN", "\r\n"),
        ("API_TOKEN", "a\0b"),
    ):
        done = host.release("secret", name, input=value, check=False)
        assert done.returncode == 1, (name, value)
        assert "a secret is the name of a variable, and less than 1 MB on standard input" in done.stdout
    # Nothing at all.
    assert host.release("secret", "API_TOKEN", check=False).returncode == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    try:
        for typed, stored in ((b"one\ntwo\n", b"one\ntwo"), (b"caf\xe9 \r\n", b"caf\xe9 "), (b"-x", b"-x")):
            (host.machine / "root/value").write_bytes(typed)
            host.machine.run("sh", "-c", f"exec {host.program} secret API_TOKEN </root/value")
            assert (folder / "API_TOKEN").read_bytes() == stored
    finally:
        host.machine.run("rm", "-f", "/root/value", f"/etc/{host.slug}/credentials/API_TOKEN")


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """
    The command lines of all processes of this computer and its machines, as often as they can be looked at.
    """
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_text(errors="replace").replace("\0", " "))
                except OSError:
                    continue

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def environment_of(host: Host) -> dict[str, str]:
    """
    The environment of the run that serves.
    """
    (pid, *_) = host.machine.processes_of(host.unit(host.run))
    lines = (host.machine / f"proc/{pid}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)
