"""The request deadline."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, WebSocket
from fastapi.testclient import TestClient
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.http_settings import HttpSettings
from app.core.middleware.deadline import deadline
from app.core.service import Service
from tests.core.harness import build, client_of

BUDGET = 0.1
# For what ends because a test says so.
PATIENCE = 30
worked = asyncio.Event()
released = threading.Event()


@pytest.fixture(autouse=True)
def _begin() -> Iterator[None]:
    released.clear()
    yield
    released.set()


async def work() -> None:
    """Take longer than the budget, after the response."""
    await asyncio.sleep(2 * BUDGET)
    worked.set()


def hang() -> None:
    """Keep a thread until clients have been answered without it."""
    released.wait(PATIENCE)


def releasing(service: Service, answers: int = 1) -> ASGIApp:
    """Let threads go when so many answers have been sent: a test client waits for all of a call."""
    left = iter(range(answers - 1))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_release(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and next(left, None) is None:
                released.set()

        await service(scope, receive, send_and_release)

    return app


def routes(router: APIRouter) -> None:
    """Be slow in every way."""

    @router.get("/hangs")
    async def hangs() -> None:
        await asyncio.Event().wait()

    @router.get("/patient", dependencies=[deadline(PATIENCE)])
    async def patient() -> str:
        await asyncio.sleep(2 * BUDGET)
        return "done"

    @router.get("/thread")
    def thread() -> None:
        hang()

    @router.get("/lively")
    async def lively() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(60):
                await asyncio.sleep(0.02)
                yield b"x"

        return StreamingResponse(parts())

    @router.get("/silent")
    async def silent() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.Event().wait()

        return StreamingResponse(parts())

    @router.get("/afterwards")
    async def afterwards(tasks: BackgroundTasks) -> str:
        tasks.add_task(work)
        return "done"

    @router.websocket("/socket")
    async def socket(connection: WebSocket) -> None:
        await connection.accept()
        await asyncio.sleep(2 * BUDGET)
        await connection.send_text("still here")


@pytest.fixture
def client() -> TestClient:
    """Return a service whose budget is a tenth of a second."""
    return client_of(releasing(build(routes=routes, http=HttpSettings(request_seconds=BUDGET))))


@pytest.mark.parametrize("path", ["/hangs", "/thread"])
def test_no_first_byte_in_time_is_504(client: TestClient, path: str) -> None:
    """Coroutine or thread, the client gets a problem."""
    with client:
        response = client.get(path)
    assert response.status_code == 504
    assert response.json()["type"] == "urn:problem-type:deadline-exceeded"
    assert response.headers["x-request-id"]


def test_a_route_may_have_its_own_deadline(client: TestClient) -> None:
    """A longer one here, and nowhere else."""
    with client:
        assert client.get("/patient").json() == "done"


def test_a_stream_may_take_longer_than_the_budget() -> None:
    """As long as something moves: sixty parts take more than a second, and none of them does."""
    begun = time.monotonic()
    with client_of(build(routes=routes, http=HttpSettings(request_seconds=1))) as client:
        assert client.get("/lively").content == b"x" * 60
    assert time.monotonic() - begun > 1


def test_a_silent_stream_is_cut(client: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    """The client must not take the rest for complete, so the response is left incomplete."""
    with client:
        client.get("/silent")
    assert "nothing sent for 0.1 s" in capfd.readouterr().err


def test_work_after_the_response_has_no_deadline(client: TestClient) -> None:
    """The client has its answer; what is left to do was accepted."""
    worked.clear()
    with client:
        assert client.get("/afterwards").json() == "done"
    assert worked.is_set()


def test_a_thread_keeps_its_place_until_it_ends() -> None:
    """Requests that hang in threads are refused in time, and never exceed THREADS."""
    running, most = 0, 0

    def add_route(router: APIRouter) -> None:
        @router.get("/")
        def keep() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            hang()
            running -= 1

    service = build(routes=add_route, http=HttpSettings(request_seconds=BUDGET, threads=2))
    with client_of(releasing(service, 8)) as client, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: client.get("/"), range(8)))
    assert {answer.status_code for answer in answers} == {504}
    assert most == 2


def test_what_follows_a_late_thread_is_cancelled() -> None:
    """Its client was refused long ago; nobody waits for the rest, and it must not stay for ever."""
    cancelled = threading.Event()

    def add_route(router: APIRouter) -> None:
        @router.get("/", dependencies=[Depends(hang)])
        async def rest() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

    service = build(routes=add_route, http=HttpSettings(request_seconds=BUDGET))
    with client_of(releasing(service)) as client:
        assert client.get("/").status_code == 504
    assert cancelled.is_set()


def test_a_websocket_has_no_deadline(client: TestClient) -> None:
    """It is meant to stay."""
    with client, client.websocket_connect("/socket") as socket:
        assert socket.receive_text() == "still here"
