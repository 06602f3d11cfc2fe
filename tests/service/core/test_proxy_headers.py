"""The address of the client, behind one proxy, several, or none."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from app.core.middleware.proxy_headers import ProxyHeadersMiddleware


def resolve(
    peer: str | None, headers: list[tuple[bytes, bytes]], trusted: tuple[str, ...]
) -> tuple[Any, str]:
    """Return client and scheme as the app sees them."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    scope = {
        "type": "http",
        "scheme": "http",
        "client": (peer, 5000) if peer is not None else None,
        "headers": headers,
    }
    asyncio.run(_wait(ProxyHeadersMiddleware(app, trusted)(scope, nothing, nothing)))
    return seen["client"] and seen["client"][0], seen["scheme"]


async def _wait(answer: Awaitable[None]) -> None:
    await answer


def forwarded(*hops: str) -> list[tuple[bytes, bytes]]:
    """Return the header as proxies write it."""
    return [(b"x-forwarded-for", hop.encode()) for hop in hops]


LOCAL = ("127.0.0.1", "unix")


@pytest.mark.parametrize(
    ("peer", "hops", "trusted", "client"),
    [
        pytest.param("127.0.0.1", ["9.9.9.9"], LOCAL, "9.9.9.9", id="proxy"),
        pytest.param(None, ["9.9.9.9"], LOCAL, "9.9.9.9", id="unix-socket"),
        pytest.param("", ["9.9.9.9"], LOCAL, "9.9.9.9", id="unix-socket-empty-address"),
        pytest.param(None, ["9.9.9.9"], ("127.0.0.1",), None, id="unix-socket-untrusted"),
        pytest.param("8.8.8.8", ["9.9.9.9"], LOCAL, "8.8.8.8", id="spoofed"),
        pytest.param("127.0.0.1", ["6.6.6.6, 9.9.9.9"], LOCAL, "9.9.9.9", id="spoofed-left"),
        pytest.param("127.0.0.1", ["6.6.6.6", "9.9.9.9"], LOCAL, "9.9.9.9", id="two-headers"),
        pytest.param(
            "127.0.0.1", ["9.9.9.9, 10.1.2.3"], (*LOCAL, "10.0.0.0/8"), "9.9.9.9", id="two-proxies"
        ),
        pytest.param(
            "127.0.0.1", ["9.9.9.9, 10.1.2.3"], (*LOCAL, "10.0.0.5/8"), "9.9.9.9", id="host-bits"
        ),
        pytest.param("127.0.0.1", ["9.9.9.9:1234"], LOCAL, "9.9.9.9", id="with-port"),
        pytest.param("127.0.0.1", ["[2001:db8::1]:80"], LOCAL, "2001:db8::1", id="ipv6-port"),
        pytest.param("127.0.0.1", ["2001:db8::1"], LOCAL, "2001:db8::1", id="ipv6"),
        pytest.param("127.0.0.1", ["not-an-address"], LOCAL, "127.0.0.1", id="garbage"),
        pytest.param("127.0.0.1", [], LOCAL, "127.0.0.1", id="none"),
        pytest.param("::ffff:127.0.0.1", ["9.9.9.9"], LOCAL, "9.9.9.9", id="ipv4-on-ipv6-socket"),
        pytest.param("::ffff:8.8.8.8", [], LOCAL, "8.8.8.8", id="ipv4-client-on-ipv6-socket"),
    ],
)
def test_the_client_is_the_nearest_hop_nobody_trusts(
    peer: str | None, hops: list[str], trusted: tuple[str, ...], client: str | None
) -> None:
    """The client's own part of the header is left of that hop."""
    assert resolve(peer, forwarded(*hops), trusted)[0] == client


def test_the_scheme_comes_from_a_trusted_peer_only() -> None:
    """Or a client could make the service believe in a TLS that is not there."""
    header = [(b"x-forwarded-proto", b"https")]
    assert resolve("127.0.0.1", header, LOCAL)[1] == "https"
    assert resolve("8.8.8.8", header, LOCAL)[1] == "http"
