"""
The compose file of a rendered project, brought up by a real Compose 2 on a real engine, behind each proxy and past them.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.test_errors import is_problem
from tests.image.stack import PROXIES, WAYS, Stack, Way, standing
from tests.support.containers.engine import Engine
from tests.support.containers.events import Events
from tests.support.edges.edge import DOMAIN
from tests.support.processes import wait_until
from tests.support.projects import Projects

#: What a container may do beyond nothing, by service.
CAPABILITIES = {"nginx": {"CHOWN", "SETGID", "SETUID"}, "caddy": {"NET_BIND_SERVICE"}, "traefik": {"NET_BIND_SERVICE"}}

# Another release, as everybody can see.
NEXT = """

@app.get("/api/v1/release")
async def release() -> str:
    return "next"
"""
#: Where certbot puts a certificate, below its own directory.
LIVE = f"/live/{DOMAIN}"
# gunicorn listens before it knows that no worker will ever start; again and again.
BROKEN = '\n\nraise RuntimeError("this release cannot start")\n'
FAILING = """
revision = "9999"
down_revision = "0001"


def upgrade() -> None:
    raise RuntimeError("this migration cannot be made")
"""


def ways(chosen: tuple[Way, ...] = WAYS) -> pytest.MarkDecorator:
    """
    Run a test once per way. Those of one way stay on one worker: it is brought up once.
    """
    cases = [pytest.param(way, id=way.proxy, marks=pytest.mark.xdist_group(f"compose-{way.proxy}")) for way in chosen]
    return pytest.mark.parametrize("stack", cases, indirect=True)


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, engine: Engine, projects: Projects, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """
    A stack that is up.
    """
    way: Way = request.param
    with standing(way, engine, projects, tmp_path_factory.mktemp(way.proxy)) as stack:
        yield stack


# What the world sees


@ways()
def test_the_contract(stack: Stack) -> None:
    """
    Probes, requests and errors, as docs/contract.md says, from outside.
    """
    client, facts = stack.client(), stack.project.facts
    assert client.get("/health").status == 200
    assert client.get("/ready").json()["status"] == "ready"
    body = facts["example_body"].replace("{n}", "contract").encode()
    answer = client.post(facts["example_post"], body=body, headers={"Content-Type": "application/json"})
    assert answer.status in {200, 201}, answer.body
    answer = client.get("/nowhere", headers={"X-Request-ID": "follow-me-1"})
    is_problem(answer, 404, "not-found", "/nowhere")
    assert answer.header("x-request-id") == "follow-me-1"


@ways(PROXIES)
def test_plain_http_leads_to_https(stack: Stack) -> None:
    """
    With the method and the body: 308.
    """
    answer = stack.client(scheme="http").post("/api/v1/items?a=b", body=b"{}")
    assert (answer.status, answer.header("location")) == (308, f"https://{DOMAIN}/api/v1/items?a=b")


@ways(PROXIES)
def test_other_names_are_nobodys(stack: Stack) -> None:
    """
    No certificate is shown to who asks for one, and the service does not hear of it.
    """
    with pytest.raises(ssl.SSLError):
        stack.client(host="other.test").get("/health")
    # Traefik has no words for it.
    expected = 404 if stack.way.proxy == "traefik" else 421
    assert stack.client(scheme="http", host="other.test").get("/health").status == expected
    assert stack.client().get("/health", host="other.test").status == expected


@ways(PROXIES)
def test_a_client_cannot_pretend_to_be_another(stack: Stack) -> None:
    """
    The service sees whom the proxy sees: here that is the engine, by which a connection of this machine comes.
    """
    spoofed = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Forwarded-Proto": "http",
    }
    told = stack.client().get("/tell/echo", headers=spoofed).json()
    networks = stack.compose.container(stack.way.proxy).inspect()["NetworkSettings"]["Networks"]
    assert told["client"] in {network["Gateway"] for network in networks.values()}
    assert told["url"] == f"https://{DOMAIN}/tell/echo"
    assert "6.6.6.6" not in str(told)


@ways(tuple(way for way in WAYS if way.is_plain))
def test_a_load_balancer_is_believed(stack: Stack) -> None:
    """
    But not what its client wrote: the right-most address counts.
    """
    told = stack.client().get("/tell/echo", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.7"}).json()
    assert told["client"] == "203.0.113.7"


@ways(PROXIES)
def test_maintenance(stack: Stack) -> None:
    """
    503 to everything but /health, and back; as the proxy's README says.
    """
    marker = f"/etc/{stack.slug}/maintenance"
    on, off = ["touch", marker], ["rm", marker]
    if stack.way.proxy == "traefik":
        on, off = (["sh", "/start/start", "maintenance", word] for word in ("on", "off"))
    readme = stack.project.read(f"deploy/compose/{stack.way.proxy}/README.md")
    for words, status in ((on, 503), (off, 200)):
        assert f"docker compose exec {stack.way.proxy} {' '.join(words)}" in readme
        stack.compose.run("exec", "-T", stack.way.proxy, *words)
        stack.wait_status(status, "/api/v1/items")
        if status == 503:
            is_problem(stack.client().get("/nowhere"), 503, "unavailable", "/nowhere")
            assert stack.client().get("/health").status == 200


@ways(PROXIES[:1])
def test_nginx_takes_what_is_yours(stack: Stack) -> None:
    """
    By the command in its README; what is wrong with it is said, and does not stop what is served.
    """
    reload = "docker compose exec nginx sh /start/start reload"
    assert reload in stack.project.read("deploy/compose/nginx/README.md")
    words = ["exec", "-T", *reload.split()[3:]]
    yours = stack.project / "deploy/compose/nginx/nginx.d/yours.conf"
    yours.parent.mkdir()
    try:
        yours.write_text("location = /yours { return 204; }\n")
        stack.compose.run(*words)
        stack.wait_status(204, "/yours")
        yours.write_text("location = /yours { return 204 }\n")
        done = stack.compose.run(*words, check=False)
        assert done.returncode
        assert "yours.conf" in done.stderr + done.stdout
        assert stack.client().get("/yours").status == 204
    finally:
        yours.unlink()
        yours.parent.rmdir()
    stack.compose.run(*words)
    stack.wait_status(404, "/yours")


@ways(PROXIES[:1])
def test_a_certificate_of_your_own(stack: Stack, tmp_path: Path) -> None:
    """
    By the commands in nginx's README. Before the last one nginx cannot read the key, says so, and serves what it had.
    """
    readme = stack.project.read("deploy/compose/nginx/README.md").replace(
        f"/live/{stack.project.facts['shown_domain']}", LIVE
    )
    block = next(block for block in re.findall(r"(?:^    .*\n)+", readme, re.M) if "cp privkey.pem" in block)
    *copies, mend = (line.strip().replace(" exec ", " exec -T ") for line in block.splitlines())
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=yours -keyout privkey.pem -out fullchain.pem"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    for file in tmp_path.iterdir():
        file.chmod(0o600)
        os.chown(file, 1000, 1000)

    def served() -> str:
        with stack.client().connect() as connection:
            assert isinstance(connection, ssl.SSLSocket)
            return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")

    before, own = served(), (tmp_path / "fullchain.pem").read_text()
    try:
        for command in copies:
            stack.compose.script(*command.replace(" cp ", f" cp {tmp_path}/").split())
        logged = "has no key that nginx can read"
        wait_until(lambda: logged in stack.compose.logs(), seconds=30, what="nginx says that it cannot read the key")
        assert served() == before != own
        stack.compose.script(*mend.split())
        wait_until(lambda: served() == own, seconds=30, what="it is served")
    finally:
        stack.compose.run("exec", "-T", "nginx", "rm", "-r", f"/etc/letsencrypt{LIVE}")
    wait_until(lambda: served() == before, seconds=30, what="the self-signed one is served again")


# How it is held


@ways()
def test_every_container_is_restricted(stack: Stack) -> None:
    """
    As the engine sees it, not as the file says: of every service that runs.
    """
    for service in stack.services:
        about = stack.compose.container(service).inspect()
        host: dict[str, Any] = about["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert set(host["CapDrop"]) == {"ALL"}, service
        assert {name.removeprefix("CAP_") for name in host["CapAdd"] or []} == CAPABILITIES.get(service, set()), service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert not host["Privileged"]
        assert 0 < host["Memory"] <= 512 * 2**20, service
        assert 0 < host["NanoCpus"] <= 10**9, service
        assert 0 < host["PidsLimit"] <= (1024 if service == "app" else 256), service
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}}, service
        assert host["RestartPolicy"]["Name"] == "unless-stopped", service
        assert not [bind for bind in host["Binds"] or [] if "docker.sock" in bind]
    app = stack.app.inspect()
    assert app["Config"]["User"] == "10001:0"
    assert app["Config"]["StopTimeout"] == stack.project.facts["container_stop_seconds"]
    assert "PASSWORD" not in str(app["Config"]["Env"])


@ways()
def test_only_the_edge_is_published(stack: Stack) -> None:
    """
    And the database is in a network without a way out, where the proxy is not.
    """
    edge = "app" if stack.way.is_plain else stack.way.proxy
    for service in stack.services:
        about = stack.compose.container(service).inspect()
        published = {port for port, places in about["NetworkSettings"]["Ports"].items() if places}
        assert published == (
            {"8000/tcp"} if stack.way.is_plain else {"80/tcp", "443/tcp"} if service == edge else set()
        )
        networks = {name.removeprefix(f"{stack.slug}_") for name in about["NetworkSettings"]["Networks"]}
        near = ({"data"} if stack.has_postgresql else set()) | (set() if stack.way.is_plain else {"edge"})
        expected = {"postgres": {"data"}, "app": {"beyond"} | near}
        assert networks == expected.get(service, {"edge"}), service
    if stack.has_postgresql:
        internal = stack.engine.docker("network", "inspect", "--format={{.Internal}}", f"{stack.slug}_data").stdout
        assert internal.strip() == "true"


# What happens to it


@ways()
def test_another_image_and_back(stack: Stack, tmp_path: Path) -> None:
    """
    Under load nothing is lost, and what was confirmed is there; `up` leaves alone what serves then.
    """
    first, image = stack.image("current"), stack.build("next", tmp_path, {"app/main.py": NEXT})
    assert stack.client().get("/api/v1/release").status == 404
    # Somebody's, and none of the rollout's business.
    task = stack.compose.run("run", "--detach", "--no-deps", "app", "sleep", "600").stdout.strip()
    with stack.counted("rollout"), Events(stack.engine) as events:
        done = stack.rollout(image)
        assert done.returncode == 0, done.stderr
        check_hidden_until_healthy(stack, events)
        labels = stack.app.inspect()["Config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == "next"
        assert (stack.image("current"), stack.image("previous")) == (stack.image("next"), first)
        assert stack.user().get("/api/v1/release").json() == "next"
    assert stack.engine.docker("inspect", "--format={{.State.Running}}", task).stdout == "true\n"
    stack.engine.docker("rm", "--force", task)
    before = stack.identity()
    stack.compose.run("up", "--detach", "--wait", "--no-build")
    assert stack.identity() == before
    if stack.way.proxy in {"caddy", "traefik"}:
        # One script goes both ways; how a proxy follows has been seen above.
        return
    # As from a registry that is away: what was pulled before is what there is.
    elsewhere = f"127.0.0.1:9/{stack.slug}:first"
    stack.engine.docker("tag", f"{stack.slug}:previous", elsewhere)
    with stack.counted("way back"):
        done = stack.rollout(elsewhere)
        assert done.returncode == 0, done.stderr
    assert "it was not pulled: what has this name here is taken" in done.stderr
    stack.engine.docker("rmi", elsewhere)
    assert (stack.image("current"), stack.image("previous")) == (first, stack.image("next"))
    assert len(stack.compose.containers("app")) == 1


def check_hidden_until_healthy(stack: Stack, events: Events) -> None:
    """
    A container that serves was healthy before the proxy could see it. Pooled connections would hide that it was not.
    """
    new, edge = stack.app.id, f"connect {stack.slug}_edge"
    if stack.way.is_plain:
        return
    wait_until(lambda: edge in events.of(new), seconds=10, what="the engine has said that it is in the proxy's network")
    if stack.way.proxy == "caddy":
        assert {"api", "app"} <= set(
            stack.app.inspect()["NetworkSettings"]["Networks"][f"{stack.slug}_edge"]["Aliases"]
        )
    happened = events.of(new)
    assert happened.index("start") < happened.index("health_status: healthy") < happened.index(edge), happened


@ways(PROXIES[:1])
def test_a_rollout_that_is_killed(stack: Stack, tmp_path: Path) -> None:
    """
    By SIGKILL, in the middle: what served serves on, and the next one clears up, even one that fails.
    """
    image, before = stack.build("broken", tmp_path, {"app/main.py": BROKEN}), stack.identity()
    tags = [stack.image("current"), stack.image("previous")]
    with stack.counted("rollout killed"):
        with stack.rolling(image) as process:
            wait_until(lambda: len(stack.compose.containers("app")) == 2, seconds=60, what="there is a new container")
            assert process.poll() is None
        assert stack.image("current") == stack.image("broken")
        done = stack.rollout(image)
    assert done.returncode == 1, done.stderr
    assert (stack.identity(), [stack.image("current"), stack.image("previous")]) == (before, tags)
    assert len(stack.compose.run("ps", "--all", "--quiet", "app").stdout.split()) == 1


@ways(tuple(way for way in WAYS if way.is_plain))
def test_a_rollout_that_is_killed_late(stack: Stack, tmp_path: Path) -> None:
    """
    With two versions at work, each at a port: the next one has to find a free port, and loses nothing either.
    """
    before, image = f"{stack.slug}:before", stack.build("next", tmp_path, {"app/main.py": NEXT})
    stack.engine.docker("tag", f"{stack.slug}:current", before)
    with stack.counted("rollout killed late"):
        with stack.rolling(image):
            wait_until(lambda: len(stack.compose.containers("app")) == 2, seconds=60, what="there is a new container")
            for container in stack.compose.containers("app"):
                container.wait_healthy(seconds=30)
        done = stack.rollout(before)
        assert done.returncode == 0, done.stderr
    assert stack.image("current") == stack.image("before") == stack.app.inspect()["Image"]


@ways()
def test_an_image_that_cannot_start(stack: Stack, tmp_path: Path) -> None:
    """
    The old one serves on, nothing is lost, and the tags are what they were.
    """
    image, before = stack.build("broken", tmp_path, {"app/main.py": BROKEN}), stack.identity()
    tags = [stack.image("current"), stack.image("previous")]
    with stack.counted("broken image"):
        done = stack.rollout(image)
    assert done.returncode == 1, done.stderr
    assert "this release cannot start" in done.stderr
    assert (stack.identity(), [stack.image("current"), stack.image("previous")]) == (before, tags)


@ways()
def test_a_migration_that_fails(stack: Stack, tmp_path: Path) -> None:
    """
    The same; the new image does not even run.
    """
    versions = {"migrations/versions/9999_failing.py": FAILING}
    image, before = stack.build("failing", tmp_path, versions), stack.identity()
    tags = [stack.image("current"), stack.image("previous")]
    with stack.counted("migration fails"):
        done = stack.rollout(image)
    assert done.returncode == 1, done.stderr
    assert "this migration cannot be made" in done.stderr + done.stdout
    assert (stack.identity(), [stack.image("current"), stack.image("previous")]) == (before, tags)


@ways(PROXIES[:1])
def test_a_database_that_is_newer(stack: Stack) -> None:
    """
    As after the way back across a migration: `up` leaves it as it is, and a new release does not go onto it.
    """
    before = stack.identity()
    stack.query("UPDATE alembic_version SET version_num = 'newer'")
    try:
        stack.compose.run("up", "--detach", "--wait", "--no-build")
        assert "the database is newer (newer): nothing to migrate" in stack.compose.run("logs", "migrate").stdout
        done = stack.compose.script("sh", "deploy/compose/pre-rollout", check=False)
        assert done.returncode != 0
        assert "was migrated by code that is not here" in done.stderr
        assert stack.query("SELECT version_num FROM alembic_version") == ["newer"]
    finally:
        stack.query("UPDATE alembic_version SET version_num = '0001'")
    stack.compose.run("up", "--detach", "--wait", "--no-build")
    assert stack.identity() == before


@ways(PROXIES)
def test_without_its_database(stack: Stack) -> None:
    """
    503 by /ready and by what needs it, an unhealthy container, and recovery: by the same processes.
    """
    before, client, facts = stack.identity(), stack.client(), stack.project.facts
    stack.compose.run("stop", "postgres")
    stack.wait_status(503)
    assert client.get("/health").status == 200
    answer = client.get(facts["example_get"])
    assert answer.status == 503
    assert answer.header("content-type") == "application/problem+json"
    wait_until(lambda: stack.app.health == "unhealthy", seconds=40, what="the container is unhealthy")
    stack.compose.run("start", "postgres")
    stack.wait_status(200)
    wait_until(lambda: stack.app.health == "healthy", seconds=40, what="the container is healthy")
    assert client.get(facts["example_get"]).status == 200
    assert stack.identity() == before


@ways((WAYS[0], WAYS[-1]))
def test_backup_and_restore_as_documented(stack: Stack, tmp_path: Path) -> None:
    """
    Typed as printed: what was there is there again, and what came after is gone.
    """
    document = "compose-postgresql" if stack.has_postgresql else "compose-sqlite"
    section = stack.project.read(f"docs/{document}.md").split("## Back up and restore\n")[1].split("\n## ")[0]
    commands = re.findall(r"(?:^    .*\n)+", section.replace("/var/backups", str(tmp_path)), re.M)
    assert len(commands) == 3, commands
    tables = "pg_tables WHERE tablename" if stack.has_postgresql else "sqlite_master WHERE name"
    path = stack.project.facts["example_post"]

    def add(name: str) -> None:
        assert stack.client().post(path, json={"name": name}).status == 201

    add("kept-by-the-backup")
    stack.compose.script("sh", "-e", "-c", commands[0])
    add("later-than-the-backup")
    stack.query("CREATE TABLE later (item INTEGER REFERENCES items (id))")
    if not stack.has_postgresql:
        # Of a backup that is empty nothing is taken.
        (refusing,) = re.findall(r"    docker compose run .*?' <", commands[1], re.S)
        assert stack.compose.script("sh", "-c", f"{refusing}/dev/null", check=False).returncode
    stack.compose.script("sh", "-e", "-c", commands[1])
    stack.wait_status(200)
    found = stack.query("SELECT name FROM items WHERE name LIKE '%-the-backup'")
    assert found == ["kept-by-the-backup"]
    # A table that a later migration has made would be in its way.
    assert stack.query(f"SELECT count(*) FROM {tables} = 'later'") == ["0"]
    (made,) = tmp_path.iterdir()
    assert made.stat().st_mode & 0o077 == 0, "others can read it"
    # It is written to, too.
    add("after-the-restore")
    for rest in commands[2:]:
        stack.compose.script("sh", "-e", "-c", rest)
