"""
The ground of the tier: the engine leaves nothing, and its stand-ins behave as the images they stand for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.support import processes, questions
from tests.support.containers import base, stand_ins
from tests.support.containers.container import Container
from tests.support.containers.daemon import PLACES, Daemon
from tests.support.containers.engine import Engine

POSTGRES = "postgres:17"
PASSWORD = "it is secret"


def leftovers(daemon: Daemon) -> dict[str, list[str]]:
    """
    Things that an engine could leave on a machine, besides its own folders.
    """
    names = (daemon.name, str(daemon.folder))
    lines = {"processes": said("ps", "-A", "-o", "args="), "mounts": Path("/proc/self/mounts").read_text()}
    return {
        **{what: [line for line in text.splitlines() if any(n in line for n in names)] for what, text in lines.items()},
        "groups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{daemon.name}")],
        "socket": [str(daemon.socket)] if daemon.socket.exists() else [],
    }


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, env={"PATH": PLACES}).stdout


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Daemon]:
    """
    An engine of the test's own, to be ended and killed at will; not started.
    """
    daemon = Daemon(tmp_path / "engine")
    yield daemon
    daemon.close()
    shutil.rmtree(daemon.place, ignore_errors=True)


def run_something(daemon: Daemon) -> str:
    """
    A container with a port that is published, and a volume, in a network of its own; the name of its bridge.
    """

    def docker(*words: str) -> str:
        environment = {"PATH": PLACES, "DOCKER_HOST": f"unix://{daemon.socket}", "HOME": tempfile.gettempdir()}
        done = subprocess.run(["docker", *words], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    docker("import", str(base.archive()), "small")
    bridge = f"br-{docker('network', 'create', 'own')[:12]}"
    options = (
        "--network=own",
        "--publish=8000",
        "--volume=/somewhere",
        "--memory=64m",
        "--cpus=0.5",
        "--stop-timeout=1",
    )
    docker("run", "--detach", *options, "small", "sleep", "1000")
    return bridge


@contextlib.contextmanager
def using(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """
    Another worker that uses the engine of a folder until it is killed; it says which one that is.
    """
    lines = (
        "import pathlib, sys, tests.support.containers.daemon as module",
        "with module.Daemon(pathlib.Path(sys.argv[1])) as daemon:",
        "    print(daemon.pid, flush=True)",
        "    sys.stdin.read()",
    )
    words = [sys.executable, "-c", "\n".join(lines), str(folder)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=questions.ROOT
    ) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def test_leaves_nothing(own: Daemon) -> None:
    """
    It serves all who use it; when the last one lets go, or is killed, it ends and nothing is left.
    """
    before = leftovers(own)
    with own, using(own.folder) as other:
        assert other.stdout
        assert int(other.stdout.readline()) == own.pid
        bridge = run_something(own)
        assert own.is_running()
        assert leftovers(own)["processes"]
        assert leftovers(own)["groups"]
        # (An engine of somebody else may change its own rules at any time.)
        host = said("ip", "-o", "link") + said("iptables-save")
        there = said("nsenter", f"--net={own.network}", "sh", "-c", "ip -o link; iptables-save")
        assert bridge not in host
        assert there.count(bridge) > 1
        own.close()
        assert own.is_running(), "the other one uses it"
        other.kill()
        processes.wait_until(lambda: not own.is_running(), seconds=30, what="without its last user it ends")
    assert leftovers(own) == before


def test_after_it_was_killed(own: Daemon) -> None:
    """
    With the engine process everything in it ends at once; the next one starts and clears up what was left.
    """
    before = leftovers(own)
    with own:
        run_something(own)
        first = own.pid
        engine_process = parent(parent(first))
        assert "engine_process" in Path(f"/proc/{engine_process}/cmdline").read_text()
        os.kill(engine_process, SIGKILL)
        processes.wait_until(lambda: not leftovers(own)["processes"], seconds=10, what="nothing of it runs")
        assert not own.is_running()
    engine = Engine(own.folder)
    with engine:
        assert engine.daemon.pid != first
        assert engine.docker("ps", "--all", "--quiet").stdout == ""
        assert engine.docker("network", "ls", "--quiet", "--filter", "type=custom").stdout == ""
        assert engine.docker("volume", "ls", "--quiet").stdout == ""
        assert engine.docker("images", "--quiet").stdout == ""
    assert leftovers(own) == before


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_container(engine: Engine) -> None:
    """
    A container is reached by its port and by its address, talks to the world by name, and is gone afterwards.
    """
    engine.provide("caddy:2")
    with engine.container("caddy:2", "--name=reached") as container:
        for place in (f"127.0.0.1:{container.port(80)}", container.address):
            processes.wait_until(lambda: is_open(place), seconds=10, what=place)  # noqa: B023
            assert urllib.request.urlopen(f"http://{place}/").read() == b"Caddy works!\n"
        assert "Address" in container.exec("nslookup", "deb.debian.org").stdout
        container.signal("TERM")
        assert container.wait() == 0
        assert "serving initial configuration" in container.logs()
    assert engine.docker("ps", "--all", "--quiet", "--filter", "name=reached").stdout == ""


def is_open(place: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://{place}/").status)
    except OSError:
        return False


@pytest.mark.parametrize("version", stand_ins.PYTHONS)
def test_python(engine: Engine, version: str) -> None:
    """
    The interpreter is where the official image has it, with what belongs to it, and there is no compiler.
    """
    engine.provide(f"python:{version}-slim")
    script = """
set -e
[ "$(command -v python python3 pip | xargs -n1 dirname | uniq)" = /usr/local/bin ]
python -c 'import sys, ssl, sqlite3, venv, ctypes, zlib, lzma; print(*sys.version_info[:2], sep=".")'
pip --version
python -c 'import sysconfig; print(sysconfig.get_path("scripts"))'
! command -v gcc cc curl git
"""
    with engine.container(f"python:{version}-slim", command=["sh", "-c", script]) as container:
        assert container.wait() == 0, container.logs()
        first, pip, *rest = container.logs().splitlines()
        assert first == version
        assert f"(python {version})" in pip
        assert rest == ["/usr/local/bin"]


def test_postgres(engine: Engine) -> None:
    """
    Makes its database once, from files, steps down, takes the password only, and stops in order.
    """
    engine.provide(POSTGRES)
    with secret(PASSWORD) as file:
        given = [f"--volume={file}:/run/secrets/P:ro", "--env=POSTGRES_PASSWORD_FILE=/run/secrets/P"]
        given += ["--env=POSTGRES_USER=somebody", "--env=POSTGRES_DB=service"]
        # What a hardened compose file leaves it.
        given += [
            "--cap-drop=ALL",
            *(f"--cap-add={name}" for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")),
        ]
        given += ["--security-opt=no-new-privileges", "--read-only", "--tmpfs=/run/postgresql", "--tmpfs=/tmp"]
        with engine.container(POSTGRES, *given, "--volume=test-postgres:/var/lib/postgresql/data") as first:
            wait_answers(first)
            assert first.exec("stat", "-c", "%u", "/proc/1").stdout.strip() == "999"
            assert query(first, PASSWORD, "SELECT current_user || current_database()") == "somebodyservice"
            assert "password authentication failed" in query(first, "wrong", "SELECT 1")
            query(first, PASSWORD, "CREATE TABLE kept (n int)")
            engine.docker("stop", "--time=20", first.id)
            assert first.wait() == 0
            assert "fast shutdown" in first.logs()
    # The password of its first start is what counts, as with the official one.
    with engine.container(POSTGRES, "--volume=test-postgres:/var/lib/postgresql/data") as second:
        wait_answers(second)
        assert "Skipping initialization" in second.logs()
        assert query(second, PASSWORD, "SELECT count(*) FROM kept") == "0"
    engine.docker("volume", "rm", "test-postgres")


def test_postgres_asks_for_a_password(engine: Engine) -> None:
    engine.provide(POSTGRES)
    with engine.container(POSTGRES) as container:
        assert container.wait() == 1
        assert "superuser password is not specified" in container.logs()


def query(container: Container, password: str, sql: str) -> str:
    """
    The answer to a client of the network: the value, or the error.
    """
    words = ("psql", "-XAt", "-h", container.address, "-U", "somebody", "-d", "service", "-c", sql)
    done = container.exec("env", f"PGPASSWORD={password}", *words, check=False)
    return (done.stdout or done.stderr).strip()


def wait_answers(container: Container) -> None:
    words = ("pg_isready", "-q", "-h", container.address)
    processes.wait_until(lambda: container.exec(*words, check=False).returncode == 0, seconds=30, what="PostgreSQL")


@contextlib.contextmanager
def secret(text: str) -> Iterator[Path]:
    """
    A file that root reads. (pytest's folders are closed to the engine's users, which is why it is not one of those.)
    """
    with tempfile.TemporaryDirectory(prefix="secret-") as folder:
        file = Path(folder) / "P"
        file.write_text(f"{text}\n")
        file.chmod(0o444)
        Path(folder).chmod(0o755)
        yield file


def test_nginx(engine: Engine) -> None:
    """
    Reads conf.d, runs what lies in /docker-entrypoint.d before, logs to where Docker looks, and drains on QUIT.
    """
    engine.provide("nginx:1.30")
    change = "printf '#!/bin/sh\\necho prepared\\n' >/docker-entrypoint.d/50.sh; chmod +x /docker-entrypoint.d/50.sh;"
    change += "echo 'server { listen 8080; location / { return 200 ours; } }' >/etc/nginx/conf.d/default.conf;"
    command = ["sh", "-c", f"{change} exec /docker-entrypoint.sh nginx -g 'daemon off;'"]
    with engine.container("nginx:1.30", command=command) as container:
        place = f"{container.address}:8080"
        processes.wait_until(lambda: is_open(place), seconds=10, what=place)
        assert urllib.request.urlopen(f"http://{place}/").read() == b"ours"
        assert container.logs().startswith("prepared\n")
        processes.wait_until(lambda: '"GET / HTTP/1.1" 200' in container.logs(), seconds=5, what="a line in the log")
        owners = container.exec("sh", "-c", "stat -c %U /proc/[0-9]*").stdout
        assert set(owners.split()) == {"root", "nginx"}
        assert container.exec("openssl", "version").stdout.startswith("OpenSSL 3")
        assert container.exec("nginx", "-v").stderr.startswith("nginx version: nginx/1.30.")
        assert container.inspect()["Config"]["StopSignal"] == "SIGQUIT"
        engine.docker("stop", "--time=20", container.id)
        assert container.wait() == 0


def test_caddy(engine: Engine) -> None:
    """
    It carries a capability of its own: where that may not be had it does not even start, as the official one.
    """
    engine.provide("caddy:2")
    with engine.container("caddy:2", "--cap-drop=ALL", "--cap-add=NET_BIND_SERVICE", "--user=1000") as container:
        place = container.address
        processes.wait_until(lambda: is_open(place), seconds=10, what=place)
    done = engine.docker("run", "--rm", "--cap-drop=ALL", "caddy:2", check=False, timeout=20)
    assert done.returncode
    assert "operation not permitted" in done.stderr
    assert engine.docker("run", "--rm", "caddy:2", "sh", "-c", "command -v bash || pwd").stdout == "/srv\n"


def test_traefik(engine: Engine) -> None:
    """
    Options, commands of Traefik and commands of a shell are told apart.
    """
    engine.provide("traefik:v3.7")
    with engine.container(
        "traefik:v3.7", command=["--entrypoints.web.address=:80", "--ping.entrypoint=web"]
    ) as container:
        place = f"{container.address}/ping"
        processes.wait_until(lambda: is_open(place), seconds=10, what=place)
        container.signal("TERM")
        assert container.wait() == 0
    assert "Version:      3.7." in engine.docker("run", "--rm", "traefik:v3.7", "version").stdout
    assert engine.docker("run", "--rm", "traefik:v3.7", "sh", "-c", "echo shell").stdout.endswith("shell\n")


def test_what_has_no_stand_in(engine: Engine) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"no stand-in for python:3\.12-slim"):
        engine.provide("python:3.12-slim")
    with pytest.raises(pytest.skip.Exception, match="no stand-in for redis:8"):
        engine.provide("redis:8")


def test_names_of_the_host(engine: Engine) -> None:
    """
    A command of a test, in the engine's network, finds names as the host does, also where its resolver is on loopback.
    """
    ask = ["getent", "ahostsv4", "deb.debian.org"]
    assert subprocess.run(ask, capture_output=True).returncode == 0
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("nameserver 127.0.0.53\n")
        file.flush()
        words = f"mount --bind {file.name} $(readlink -f /etc/resolv.conf) && exec {' '.join(ask)}"
        done = subprocess.run(["unshare", "--mount", "sh", "-c", words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
