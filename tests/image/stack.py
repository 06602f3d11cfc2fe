"""
A rendered project's compose file at work: one stack per proxy, shared by the tests, each of which leaves it as it found it.
"""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.edge.application import telling
from tests.image import ledger
from tests.support import failure, processes, variants
from tests.support.containers.compose import Compose
from tests.support.containers.container import Container
from tests.support.containers.engine import Engine
from tests.support.edges.client import Client, context
from tests.support.edges.edge import DOMAIN
from tests.support.load import Address, Exchange, Load
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.tally import Tally
from tests.support.variants import Variant

#: A rate that no test reaches.
RATE = "100000"


@dataclass(frozen=True)
class Way:
    """
    The ways to a service: through a proxy, or past it. Each has an address of loopback for itself.
    """

    proxy: str
    number: int

    @property
    def variant(self) -> Variant:
        """
        A machine with and without containers, behind a proxy. A slug of its own, since images are named after it; past the
        proxy with SQLite.
        """
        answers: dict[str, Any] = {"project_name": f"By {self.proxy}", "edge_rate": RATE, "app_rate": RATE}
        answers["targets"] = ["vm", "container"]
        answers["app_rate" if self.proxy in {"nginx", "traefik"} else "edge_rate"] = "auto"
        if self.proxy == "none":
            answers |= {"database": "sqlite", "targets": ["container"]}
        return variants.of(**answers, proxy=self.proxy)

    @property
    def is_plain(self) -> bool:
        return self.proxy == "none"

    @property
    def address(self) -> str:
        return f"127.0.1.{self.number}"

    @property
    def balancer(self) -> str:
        """
        The place of the test's load balancer, if there is no proxy.
        """
        return f"127.0.2.{self.number}"

    @property
    def environment(self) -> dict[str, str]:
        """
        The variables that an operator would export.
        """
        if self.is_plain:
            return {"LISTEN": self.address, "APP_PORTS": "80-81", "BALANCER_SECONDS": "3"}
        return {"DOMAIN": DOMAIN, "HTTP_PORT": f"{self.address}:80", "HTTPS_PORT": f"{self.address}:443"}


WAYS = tuple(Way(proxy, number) for number, proxy in enumerate(("nginx", "caddy", "traefik", "none"), 1))
#: Where a test is about the edge.
PROXIES = tuple(way for way in WAYS if not way.is_plain)

# A load balancer of the cloud: it asks for readiness, and sends nothing a second time. (Not round_robin: two requests at once
# may both find the one that is down twice, and give up.)
BALANCER = """\
{{
	admin off
	auto_https off
	persist_config off
}}
http:// {{
	bind {balancer}
	reverse_proxy {address}:80 {address}:81 {{
		health_uri /ready
		health_interval 1s
		health_timeout 2s
		lb_policy random
	}}
}}
"""

# Prints what a statement finds in a file of SQLite, a word a line.
ASK = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    for row in connection.execute(sys.argv[2]):
        print(*row)
"""


class Stack:
    """
    It is up. `current` is the image that serves.
    """

    def __init__(self, way: Way, engine: Engine, compose: Compose, project: Project) -> None:
        self.way, self.engine, self.compose, self.project = way, engine, compose, project

    @property
    def slug(self) -> str:
        return str(self.project.facts["project_slug"])

    @property
    def has_postgresql(self) -> bool:
        return bool(self.project.facts["has_postgresql"])

    @property
    def services(self) -> list[str]:
        """
        Those that stay.
        """
        found = self.compose.run("config", "--services").stdout.split()
        return sorted(name for name in found if name != "migrate")

    def client(self, **options: Any) -> Client:
        """
        Somebody outside.
        """
        if self.way.is_plain:
            # Of the ports that are there for it, the one that it has now.
            return Client(**{"address": self.way.address, "scheme": "http", "port": self.app.port(), **options})
        return Client(**{"address": self.way.address, **options})

    def user(self) -> Client:
        """
        The same, where a load is going on: past a proxy it comes by the load balancer.
        """
        return Client(address=self.way.balancer, scheme="http") if self.way.is_plain else self.client()

    # Its images

    def image(self, name: str) -> str | None:
        """
        The id behind a tag of the service.
        """
        done = self.engine.docker("image", "inspect", "--format={{.Id}}", f"{self.slug}:{name}", check=False)
        return done.stdout.strip() or None

    def build(self, name: str, folder: Path, files: Mapping[str, str]) -> str:
        """
        An image of the project in which files, by their paths, have some more lines.
        """
        copy = self.project.copy(folder / name)
        for path, text in files.items():
            file = copy / path
            file.write_text((file.read_text() if file.exists() else "") + text)
        self.engine.build(copy, f"{self.slug}:{name}", VERSION=name)
        return f"{self.slug}:{name}"

    def rollout(self, image: str, *, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        return self.compose.script("sh", "deploy/compose/rollout", image, check=False, timeout=seconds)

    @contextlib.contextmanager
    def rolling(self, image: str) -> Iterator[subprocess.Popen[bytes]]:
        """
        Begin a rollout; at the end of the block it is killed, with all that it has started.
        """
        with subprocess.Popen(
            ["sh", "deploy/compose/rollout", image],
            cwd=self.project.path,
            env=self.compose.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                processes.kill_group(process.pid)

    # Its state

    @property
    def app(self) -> Container:
        return self.compose.container("app")

    def identity(self) -> list[tuple[str, str, int]]:
        """
        The processes that serve: another container, or a restart, makes another one.
        """
        found = [container.inspect() for container in self.compose.containers("app")]
        return sorted((about["Id"], about["State"]["StartedAt"], about["RestartCount"]) for about in found)

    def wait_status(self, status: int, path: str = "/ready", *, seconds: float = 30) -> None:
        __tracebackhide__ = True
        processes.wait_until(
            lambda: self.client().get(path).status == status, seconds=seconds, what=f"{path} says {status}"
        )

    # Its load

    @contextlib.contextmanager
    def counted(self, event: str) -> Iterator[Load]:
        """
        Clients that read and write as long as the block lasts; nothing of theirs may be lost, and what was confirmed is there.
        """
        facts = self.project.facts
        word = event.split()[0]
        body = f'{{"name": "{word}-{{n}}"}}'
        exchange = Exchange(facts["example_get"], facts["example_post"], body, host=DOMAIN)
        with self.reached() as (address, tls):
            with Load(address, exchange, kept=4, fresh=2, pause=0.02, tls=tls, patience=60) as load:
                load.wait_for(50)
                yield load
                load.wait_for(50)
            ledger.write(load.tally, event, self.way.proxy)
            assert not load.tally.lost, f"lost: {dict(load.tally.ways)}"
            assert set(load.tally.statuses) <= {200, 201}, load.tally.statuses
        self.assert_kept(load.tally, word)

    @contextlib.contextmanager
    def reached(self) -> Iterator[tuple[Address, ssl.SSLContext | None]]:
        """
        The address of it for a load, and the way to talk to it.
        """
        if not self.way.is_plain:
            yield (self.way.address, 443), context()
            return
        configuration = self.project.path.with_name("balancer")
        configuration.write_text(BALANCER.format(address=self.way.address, balancer=self.way.balancer))
        caddy = [str(Path(sys.executable).with_name("caddy")), "run", "--adapter=caddyfile"]
        with (
            configuration.with_suffix(".log").open("wb") as log,
            subprocess.Popen(
                [*caddy, f"--config={configuration}"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"HOME": str(configuration.parent)},
            ) as process,
        ):
            try:
                balanced = Client(address=self.way.balancer, scheme="http")
                processes.wait_until(lambda: _answers(balanced), seconds=20, what="the load balancer answers")
                yield (self.way.balancer, 80), None
            except BaseException as error:
                error.add_note(failure.frame(configuration.with_suffix(".log").read_text(), title="the load balancer"))
                raise
            finally:
                processes.kill_group(process.pid)

    def assert_kept(self, tally: Tally, word: str) -> None:
        """
        Check that all that was confirmed is in the database.
        """
        assert tally.acknowledged
        stored = self.query(f"SELECT name FROM items WHERE name LIKE '{word}-%'")
        missing = {f"{word}-{number}" for number in tally.acknowledged} - set(stored)
        assert not missing

    def query(self, statement: str) -> list[str]:
        """
        Ask the database itself; the words of the answer.
        """
        if not self.has_postgresql:
            url = self.project.facts["example_database_url"]
            return self.app.exec("python", "-c", ASK, url.removeprefix("sqlite:///"), statement).stdout.split()
        psql = ("psql", f"--username={self.slug}", "--no-align", "--tuples-only", "--command", statement)
        return self.compose.run("exec", "-T", "postgres", *psql).stdout.split()


def _answers(client: Client) -> bool:
    try:
        return all(client.get("/ready").status == 200 for _ in range(4))
    except OSError:
        return False


# Health is asked for more often than by default, so that the tests wait less.
_QUICK = "healthcheck: {interval: 1s}"
# So is the certificate looked at.
_FOLLOW = {"nginx": ", environment: {CERTIFICATE_SECONDS: '1'}"}


@contextlib.contextmanager
def standing(way: Way, engine: Engine, projects: Projects, folder: Path) -> Iterator[Stack]:
    """
    Bring a stack up; at the end it is taken down, and nothing of it is left.
    """
    project = telling(projects.render(way.variant).sync(), folder / "project")
    slug = str(project.facts["project_slug"])
    with engine.compose(project, slug, env=way.environment) as compose:
        stack = Stack(way, engine, compose, project)
        if stack.has_postgresql:
            compose.script("sh", "deploy/compose/make-secrets")
        engine.build(project, f"{slug}:current", VERSION="first")
        pinned = compose.run("config", "--images").stdout.split()
        engine.provide(*sorted({image for image in pinned if not image.startswith(f"{slug}:")}))
        quick = [f"  {service}: {{{_QUICK}{_FOLLOW.get(service, '')}}}" for service in stack.services]
        text = "\n".join(["services:", *quick, ""])
        if way.proxy == "caddy":
            # Somebody's own name for it, which a rollout has to keep.
            text = text.replace("  app: {", "  app: {networks: {edge: {aliases: [api]}}, ")
        (project / "compose.override.yaml").write_text(text)
        compose.run("up", "--detach", "--wait", "--no-build")
        yield stack
        compose.run("down", "--volumes", "--timeout=20")
        assert not compose.left()
        for tag in engine.docker("images", "--format={{.Repository}}:{{.Tag}}", slug).stdout.split():
            engine.docker("rmi", "--force", tag)
