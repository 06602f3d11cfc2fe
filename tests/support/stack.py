"""
The real programs a service talks to: own data, a free port, an ordinary user, ended at the end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import failure, processes


def find(program: str) -> str | None:
    """
    A PostgreSQL program on PATH, or where Debian, Homebrew and the PostgreSQL project put the server.
    """
    places = itertools.chain.from_iterable(
        sorted(root.glob(pattern), reverse=True)
        for root, pattern in (
            (Path("/usr/lib/postgresql"), "*/bin"),
            (Path("/opt/homebrew/opt"), "postgresql*/bin"),
            (Path("/usr/local/opt"), "postgresql*/bin"),
            (Path("/Library/PostgreSQL"), "*/bin"),
        )
        if root.is_dir()
    )
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(map(str, places)))


def require(program: str, package: str) -> str:
    """
    The path of a program; skips, naming it, when it is absent. Where CI is set that skip is a failure.
    """
    path = find(program)
    if path is None:
        pytest.skip(f"{program} is missing: install {package} (scripts/install-tools does, as root)")
    return path


class Postgres:
    """
    A PostgreSQL of our own, without durability: only its behaviour counts here.
    """

    def __init__(self, *, max_connections: int = 100) -> None:
        self._server = require("postgres", "postgresql")
        self._initdb = require("initdb", "postgresql")
        self._createdb = require("createdb", "postgresql")
        self.max_connections = max_connections
        self.port = processes.free_port()
        # Not in pytest's folder: that one is closed to other users, and PostgreSQL refuses to run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._identity = _ordinary_user(self.folder)
        self._names = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._command(self._initdb, "-D", str(self._data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """
        Start it and wait until it takes connections.
        """
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": self.max_connections,
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
        }
        options = itertools.chain.from_iterable(("-c", f"{k}={v}") for k, v in settings.items())
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._server, "-D", str(self._data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **self._identity,
            )
        process = self._process

        def takes_connections() -> bool:
            if process.poll() is not None:
                pytest.fail(failure.frame(self.logs(), title="PostgreSQL did not start"), pytrace=False)
            return self._try("psql", "-Atc", "SELECT 1", "-d", "postgres").returncode == 0

        processes.wait_until(takes_connections, seconds=30, what="PostgreSQL takes connections")

    def stop(self) -> None:
        """
        Stop it at once: open connections are broken, as in a real outage.
        """
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                processes.kill_group(self._process.pid)
                self._process.wait(10)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, name: str | None = None) -> str:
        """
        Create an empty database and return its URL.
        """
        name = name or f"service_{next(self._names)}"
        self._command(self._createdb, *self._where(), name)
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def query(self, database: str, sql: str) -> str:
        """
        The unadorned output of a query; `database` is a name or the URL that create_database() gave.
        """
        done = self._try("psql", "-Atc", sql, "-d", database.rsplit("/", 1)[-1])
        if done.returncode:
            pytest.fail(failure.frame(done.stderr, title=sql), pytrace=False)
        return done.stdout.strip()

    def logs(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _where(self) -> Sequence[str]:
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")

    def _try(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [require(program, "postgresql"), *self._where(), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=self.folder,
        )

    def _command(self, *words: str) -> None:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=self.folder, **self._identity)
        if done.returncode:
            pytest.fail(failure.frame(done.stdout + done.stderr, title=words[0]), pytrace=False)


def _ordinary_user(folder: Path) -> dict[str, Any]:
    """
    As root: the arguments that make a subprocess run as an ordinary user who owns the folder.
    """
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(folder, user.pw_uid, user.pw_gid)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
