"""The address and scheme of the client, when a proxy is in between."""

from collections.abc import Awaitable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.http_settings import UNIX_PEER

_SECURE = {"http": "https", "ws": "wss"}


class ProxyHeadersMiddleware:
    """
    Take client address and scheme from `X-Forwarded-For` and `-Proto`, from trusted peers only.

    The app does this, not the server, so that every server behaves alike. The client is the
    right-most hop that is not itself trusted: whatever stands left of it, anybody may have written.
    """

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        """`trusted` holds addresses, CIDR ranges and the word `unix`."""
        self.app = app
        entries = set(trusted)
        self.trusts_unix = UNIX_PEER in entries
        # 10.0.0.5/8 is 10.0.0.0/8, to proxies too.
        networks = [ip_network(entry, strict=False) for entry in entries - {UNIX_PEER}]

        # Parsing an address costs more than all the rest here, and addresses repeat.
        @lru_cache(maxsize=4096)
        def look_up(hop: str) -> tuple[str | None, bool]:
            host = _without_port(hop.strip())
            try:
                address = ip_address(host)
            except ValueError:
                return None, False
            # An IPv4 client of an IPv6 socket: the same machine, whatever the socket calls it.
            if isinstance(address, IPv6Address) and address.ipv4_mapped:
                address = address.ipv4_mapped
                host = str(address)
            return host, any(address in network for network in networks)

        self.look_up = look_up

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Rewrite `client` and `scheme` of the scope, then call the app."""
        if scope["type"] != "lifespan":
            peer = scope.get("client")
            if peer and peer[0]:
                host, trusted = self.look_up(peer[0])
                if host and host != peer[0]:
                    scope["client"] = (host, peer[1])
            else:
                trusted = self.trusts_unix
            if trusted:
                self.rewrite(scope)
        return self.app(scope, receive, send)

    def rewrite(self, scope: Scope) -> None:
        """Believe the forwarding headers of this scope."""
        hops: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                hops += value.split(b",")
            elif name == b"x-forwarded-proto":
                last = value.rsplit(b",", 1)[-1].strip()
                if last in (b"https", b"wss"):
                    scope["scheme"] = _SECURE.get(scope["scheme"], scope["scheme"])
        if hops and (client := self.find_client(hops)):
            # The port that the header may carry is not the client's to us; 0 says unknown.
            scope["client"] = (client, 0)

    def find_client(self, hops: list[bytes]) -> str | None:
        """Walk from the nearest hop outwards to the first that is not trusted."""
        client = None
        for hop in reversed(hops):
            host, trusted = self.look_up(hop.decode("latin-1"))
            client = host or client
            if not trusted:
                break
        return client


def _without_port(hop: str) -> str:
    """Strip the port of `1.2.3.4:80` and `[::1]:80`; a bare IPv6 address has none."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
