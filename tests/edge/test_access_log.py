"""
The proxy's access log: one JSON object per request, found by the id that the application logs as well.
"""

from __future__ import annotations

import json
from typing import Any

from tests.edge.conftest import Standing
from tests.support.edges import edges
from tests.support.processes import wait_until


def line_with(standing: Standing, word: str) -> dict[str, Any]:
    """
    The one line that holds a word; the log may be a moment late.
    """

    def found() -> list[str]:
        return [line for line in standing.edge.access_log(standing.sandbox).splitlines() if word in line]

    wait_until(lambda: bool(found()), seconds=60, what=f"a line with {word}")
    (line,) = found()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def everything(line: Any) -> list[str]:
    """
    All values of an object, however deep: every proxy has its own keys.
    """
    if isinstance(line, dict):
        return [text for value in line.values() for text in everything(value)]
    if isinstance(line, list):
        return [text for value in line for text in everything(value)]
    return [str(line)]


@edges()
def test_a_line_has_the_id_that_the_application_logs(standing: Standing) -> None:
    """
    With client, status and method.
    """
    client = standing.client()
    client.post("/tell/echo", body=b"{}", headers={"X-Request-ID": "logged-by-both"})
    said = everything(line_with(standing, "logged-by-both"))
    assert client.source in said
    assert "200" in said
    assert "POST" in said


@edges("log-request-id")
def test_an_id_that_was_made_is_logged(standing: Standing) -> None:
    """
    The id in the answer is the one in the log, made by the proxy or by the application.
    """
    made = standing.client().get("/tell/echo").header("x-request-id")
    assert made
    assert "200" in everything(line_with(standing, made))


@edges()
def test_nobody_forges_a_line(standing: Standing) -> None:
    """
    A line stays one JSON object, whatever a client puts into its headers and path.
    """
    client = standing.client()
    name = 'forged" , "status": "999", "x": "\\'
    client.get("/%0a%22forged?\\", headers={"User-Agent": name, "Referer": name, "X-Request-ID": "tried-to-forge"})
    line = line_with(standing, "tried-to-forge")
    assert line.get("status") != "999"
    assert all(isinstance(json.loads(line), dict) for line in standing.edge.access_log(standing.sandbox).splitlines())


@edges()
def test_no_secret_is_logged(standing: Standing) -> None:
    """
    Neither credentials nor cookies, nor what stands in a query.
    """
    secrets = {"Authorization": "Bearer hush-1", "Cookie": "session=hush-2", "X-Request-ID": "keeps-a-secret"}
    standing.client().get("/tell/echo?token=hush-3", headers=secrets)
    assert "hush" not in json.dumps(line_with(standing, "keeps-a-secret"))
