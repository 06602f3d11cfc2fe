"""The answer of the health check to the container engine."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from serving import healthcheck
from tests.service.serving.conftest import Serve
from tests.service.serving.running import PATIENCE, ROOT, wait_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def check(bind: str) -> tuple[int, str]:
    """Run it as the container engine does; return the exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "serving.healthcheck"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "BIND": bind},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.rstrip()


@contextmanager
def answering(listener: socket.socket, answer: bytes = OK) -> Iterator[None]:
    """Accept one connection, read a request and answer it."""

    def answer_once() -> None:
        with closing(listener.accept()[0]) as connection:
            connection.recv(4096)
            connection.sendall(answer)

    with listener:
        thread = threading.Thread(target=answer_once, daemon=True)
        thread.start()
        yield
        thread.join(PATIENCE)


def test_ready_is_healthy_and_anything_else_is_not(serve: Serve, tmp_path: Path) -> None:
    """A 503 fails, although somebody answers, and the container engine is told what is missing."""
    missing = tmp_path / "missing"
    server = serve(PROBE_READY=str(missing)).started()
    bind = f"127.0.0.1:{server.port}"
    assert check(bind)[0] == 0
    missing.write_text('{"status":"unready"}')
    code, said = check(bind)
    assert (code, said.split()[0]) == (1, "503")
    assert '{"status":"unready"}' in said
    missing.unlink()
    assert check(bind)[0] == 0


def test_a_server_that_stops_is_unhealthy(serve: Serve) -> None:
    """While it drains, and when it has gone."""
    server = serve(ACCEPT_SECONDS="60").started()
    bind = f"127.0.0.1:{server.port}"
    server.tell(signal.SIGTERM)
    wait_until(lambda: server.get("/ready")[0] == 503, "503 while draining")
    assert check(bind) == (1, '503 {"status":"draining","checks":{}}')
    server.tell(signal.SIGINT)
    server.ended()
    code, said = check(bind)
    assert code == 1
    assert said.startswith("no answer: ")


@pytest.mark.parametrize("host", ["0.0.0.0", "", "127.0.0.1", "localhost", "[::]"])
def test_the_address_is_that_of_the_server(host: str) -> None:
    """Every interface is asked on loopback, and of several addresses the first."""
    listener = socket.create_server(("127.0.0.1", 0))
    bind = f"{host}:{listener.getsockname()[1]}, unix:/nowhere"
    with answering(listener):
        assert healthcheck.ask({"BIND": bind}) == (200, "ok")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_ipv6_is_asked_on_loopback_too() -> None:
    """As gunicorn writes it, in brackets."""
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with answering(listener):
        assert healthcheck.ask({"BIND": f"[::]:{listener.getsockname()[1]}"}) == (200, "ok")


def test_a_unix_socket_is_an_address_too() -> None:
    """In a short path: it has room for about 100 characters."""
    with tempfile.TemporaryDirectory() as directory:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{directory}/socket")
        listener.listen()
        with answering(listener):
            assert healthcheck.ask({"BIND": f"unix:{directory}/socket"}) == (200, "ok")


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_10.0\r\n", b"HTTP/1.1\r\n\r\n"])
def test_what_is_not_http_is_no_answer(answer: bytes) -> None:
    """Somebody else's port, or a server that closes without a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    with answering(listener, answer), pytest.raises(OSError, match="not HTTP"):
        healthcheck.ask({"BIND": f"127.0.0.1:{listener.getsockname()[1]}"})


def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the container engine kills the check, which would not say why."""
    monkeypatch.setattr(healthcheck, "PATIENCE_SECONDS", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(OSError, match="timed out"),
    ):
        healthcheck.ask({"BIND": f"127.0.0.1:{listener.getsockname()[1]}"})


def test_an_inherited_socket_has_no_address() -> None:
    """It says that the server was started that way, instead of asking another one."""
    with pytest.raises(OSError, match="cannot be connected to"):
        healthcheck.ask({"BIND": "fd://3"})
