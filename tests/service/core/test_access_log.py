"""Log lines: one per request, JSON that parses, and the id in all of them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from select import PIPE_BUF
from typing import Any

import pytest
import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import StreamingResponse

from app.core.access_log import AccessLog
from app.core.context import Principal, set_principal
from app.core.logs import LogSettings
from tests.core.harness import build, client_of


def routes(router: APIRouter) -> None:
    """Log, fail and be somebody."""

    @router.get("/things/{number}")
    async def thing(number: int) -> int:
        structlog.get_logger("test").info("looked up", number=number)
        return number

    @router.get("/me")
    async def me(request: Request) -> str:
        set_principal(request.scope, Principal('user "1"'))
        return "you"

    @router.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the reason")

    @router.get("/leaves")
    async def leaves() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"x"
            raise OSError("gone")

        return StreamingResponse(parts())


def lines_of(
    capfd: pytest.CaptureFixture[str], path: str, **options: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return access lines and other lines of one request in production's format."""
    service = build(routes=routes, logs=LogSettings(log_format="json"))
    with client_of(service) as client:
        capfd.readouterr()
        client.get(path, **options)
        captured = capfd.readouterr()
    return (
        [json.loads(line) for line in captured.out.splitlines()],
        [json.loads(line) for line in captured.err.splitlines()],
    )


def test_a_request_is_one_line_with_all_keys(capfd: pytest.CaptureFixture[str]) -> None:
    """Names and types as the contract has them."""
    [line], others = lines_of(capfd, "/things/7?q=secret", headers={"X-Request-ID": "abcdefgh"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line.pop("duration_ms") >= 0
    assert line == {
        "level": "info",
        "logger": "access",
        "event": "request",
        "request_id": "abcdefgh",
        "method": "GET",
        "path": "/things/7",
        "route": "/things/{number}",
        "status": 200,
        "client": "testclient",
    }
    [looked_up] = [other for other in others if other["logger"] == "test"]
    assert looked_up["request_id"] == "abcdefgh"
    assert looked_up["number"] == 7
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", looked_up["timestamp"])


@pytest.mark.parametrize("sent", ["short", "a" * 129, "white space", 'quo"te-quote', "ümlaut-ü"])
def test_a_malformed_id_is_replaced(capfd: pytest.CaptureFixture[str], sent: str) -> None:
    """It could forge log lines otherwise."""
    [line], _ = lines_of(capfd, "/nowhere", headers={"X-Request-ID": sent.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", line["request_id"])
    assert line["route"] is None


def test_the_caller_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    """The line is JSON, whatever characters an id has."""
    [line], _ = lines_of(capfd, "/me")
    assert line["principal"] == 'user "1"'


def test_a_bug_is_logged_once_with_its_traceback_and_id(capfd: pytest.CaptureFixture[str]) -> None:
    """The id of the client's problem finds the reason."""
    [line], others = lines_of(capfd, "/bug")
    [error] = [other for other in others if other["level"] == "error"]
    assert line["status"] == 500
    assert error["request_id"] == line["request_id"]
    assert "RuntimeError: the reason" in error["exception"]


def test_a_path_cannot_break_the_line(capfd: pytest.CaptureFixture[str]) -> None:
    """It is logged as it was sent, percent-encoded, and not as the server decodes it."""
    [line], _ = lines_of(capfd, "/a%22%0Ab")
    assert line["path"] == "/a%22%0Ab"


def test_probes_are_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """They would be most of the log."""
    assert lines_of(capfd, "/health")[0] == []
    assert lines_of(capfd, "/ready")[0] == []


def test_a_broken_stream_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """Once, with the status that was sent."""
    access, others = lines_of(capfd, "/leaves")
    assert [line["status"] for line in access] == [200]
    assert "OSError: gone" in "".join(str(other.get("exception")) for other in others)


def test_lines_of_one_turn_are_written_together_up_to_what_a_pipe_keeps_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several workers share a pipe: no line may be torn, and none may wait."""
    written: list[bytes] = []
    monkeypatch.setattr("app.core.access_log.os.write", lambda fd, data: written.append(data))
    log = AccessLog(LogSettings(log_format="json"))
    scope = {"type": "http", "method": "GET", "path": "/", "client": ("192.0.2.1", 1)}

    async def finish_many_at_once() -> None:
        for _ in range(100):
            log.write(scope, "a" * 32, 200, 0.001)
        await asyncio.sleep(0)

    asyncio.run(finish_many_at_once())
    assert b"".join(written).count(b"\n") == 100
    assert 1 < len(written) < 20
    assert all(len(data) <= PIPE_BUF and data.endswith(b"\n") for data in written)
