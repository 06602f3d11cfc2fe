"""The limit, as clients meet it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from app.core.feature import Feature
from app.core.service import Service
from app.main import create_app
from app.rate_limit.feature import rate_limit
from app.rate_limit.settings import RateLimitSettings
from app.settings import Settings

# Behind a proxy on the same machine, which says who the client is.
PROXY = ("127.0.0.1", 50000)
SLOWLY = RateLimitSettings(per_second=0.1, burst=3)


@contextmanager
def serving(settings: Settings, limit: RateLimitSettings) -> Iterator[TestClient]:
    """Serve with this limit."""
    service = create_app(replace(settings, rate_limit=limit))
    with TestClient(service, raise_server_exceptions=False, client=PROXY) as client:
        yield client


def statuses(client: TestClient, path: str, times: int, **headers: str) -> list[int]:
    """Ask several times."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [client.get(path, headers=named).status_code for _ in range(times)]


def test_what_is_too_much_is_answered_429(settings: Settings) -> None:
    """As a problem, with the request id and the time to come back."""
    with serving(settings, SLOWLY) as client:
        assert statuses(client, "/nothing", 3) == [404, 404, 404]
        answer = client.get("/nothing", headers={"X-Request-ID": "the-request-1"})
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "10"
    assert answer.json() == {
        "type": "urn:problem-type:too-many-requests",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "More than 0.1 requests a second.",
        "instance": "/nothing",
        "request_id": answer.headers["x-request-id"],
    }


def test_the_client_is_who_the_proxy_says(settings: Settings) -> None:
    """Not the proxy itself, and not who the client pretends to be."""
    with serving(settings, SLOWLY) as client:
        assert statuses(client, "/x", 4, X_Forwarded_For="192.0.2.1") == [404, 404, 404, 429]
        assert statuses(client, "/x", 1, X_Forwarded_For="192.0.2.2") == [404]
        assert statuses(client, "/x", 1, X_Forwarded_For="198.51.100.7, 192.0.2.1") == [429]


def test_probes_are_exempt(settings: Settings) -> None:
    """They neither count nor are refused."""
    with serving(settings, SLOWLY) as client:
        assert statuses(client, "/health", 10) == [200] * 10
        assert 429 in statuses(client, "/x", 4)
        assert statuses(client, "/ready", 10) == [200] * 10


def test_a_rate_of_0_is_none(settings: Settings) -> None:
    """The table is not even made."""
    with serving(settings, RateLimitSettings(per_second=0)) as client:
        assert statuses(client, "/x", 200) == [404] * 200
        assert "rate_limit" not in client.app_state


def test_a_websocket_counts_when_it_begins(settings: Settings) -> None:
    """It is refused with the same answer."""
    with serving(settings, SLOWLY) as client:
        statuses(client, "/x", 3)
        with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/x"):
            pass
    assert refused.value.status_code == 429


def test_the_api_describes_the_answer(settings: Settings) -> None:
    """For every operation, while there is a limit."""
    router = APIRouter()

    @router.get("/x")
    async def read() -> None: ...

    features = [rate_limit(settings.rate_limit), Feature("x", router)]
    described = Service(settings, features).openapi()["paths"]
    operations = [operation for path in described.values() for operation in path.values()]
    assert operations
    assert all("429" in operation["responses"] for operation in operations)


def test_the_burst_is_two_seconds_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is set."""
    assert RateLimitSettings(per_second=7).effective_burst == 14
    assert RateLimitSettings(per_second=0.1).effective_burst == 1
    monkeypatch.setenv("RATE_LIMIT_BURST", "5")
    assert RateLimitSettings(per_second=7).effective_burst == 5
