"""
The ways to a service: past every proxy, and through each. All of them at once stand in front of one service.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import namespaces
from tests.support.load import Address, Answer, Connection, Exchange, Load

if TYPE_CHECKING:
    from tests.vm.host import Host


#: Clients per edge: on one connection all the time, and on a new one for every request.
KEPT, FRESH = 4, 2


@dataclass(frozen=True)
class Edge:
    """
    A way: its name and its port on loopback.
    """

    name: str
    port: int
    encrypted: bool = True

    def at(self, host: Host) -> Way:
        return Way(("127.0.0.1", self.port), host.domain, host.machine.network, _trusting() if self.encrypted else None)

    @property
    def clients(self) -> int:
        return KEPT + FRESH

    def load(self, host: Host, *, kept: int = KEPT, fresh: int = FRESH, pause: float = 0.1) -> Load:
        """
        Clients that read and write items; each name says through which edge it came.
        """
        way = self.at(host)
        exchange = Exchange(
            "/api/v1/items?limit=1", "/api/v1/items", f'{{"name": "{self.name}-{{n}}"}}', host=host.domain
        )
        return Load(
            way.address, exchange, kept=kept, fresh=fresh, pause=pause, tls=way.tls, namespace=way.network, patience=60
        )


DIRECT = Edge("direct", 8000, encrypted=False)
NGINX = Edge("nginx", 443)
CADDY = Edge("caddy", 8443)
TRAEFIK = Edge("traefik", 9443)
ALL = (DIRECT, NGINX, CADDY, TRAEFIK)


@dataclass(frozen=True)
class Way:
    """
    All that a client has to know.
    """

    address: Address
    host: str
    network: Path
    tls: ssl.SSLContext | None


def _trusting() -> ssl.SSLContext:
    # Certificates are what the edge tier is about. Here it may be the placeholder.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ask(way: Way, path: str, *, seconds: float = 20) -> Answer:
    """
    One GET on a connection of its own; raises `Lost`.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []

    async def once() -> Answer:
        connection = await Connection.to(way.address, tls=way.tls, host=way.host)
        try:
            return await connection.exchange(Exchange(path, path, host=way.host).request("GET", 0, close=True))
        finally:
            await connection.close()

    def run() -> None:
        try:
            namespaces.enter_network(way.network)
            answers.append(asyncio.run(asyncio.wait_for(once(), seconds)))
        except BaseException as error:
            errors.append(error)

    # Only a thread can be elsewhere.
    thread = threading.Thread(target=run, name="ask", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]
