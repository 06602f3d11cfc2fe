"""
A request is sent once, or, where that is harmless, once more; and what one request is nobody can argue about.
"""

from __future__ import annotations

import contextlib
import re
from http.client import HTTPException

import pytest

from tests.edge.conftest import Standing
from tests.edge.recorder import Recorder
from tests.support.edges import edges
from tests.support.edges.client import Answer, read

INNER = "GET /inner HTTP/1.1\r\nHost: api.test\r\n\r\n"
#: A body that is empty to who looks at chunks, and has a request in it to who counts bytes.
BODY = "0\r\n\r\n" + INNER
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
#: Headers that two servers might read differently.
SMUGGLED = {
    "length-and-chunked": [LENGTH, CHUNKED],
    "chunked-and-length": [CHUNKED, LENGTH],
    "two-lengths": ["Content-Length: 0", LENGTH],
    "list-of-lengths": [f"Content-Length: 0, {len(BODY)}"],
    "signed-length": [f"Content-Length: +{len(BODY)}"],
    "blank-before-colon": [LENGTH, "Transfer-Encoding : chunked"],
    "unknown-coding": [LENGTH, "Transfer-Encoding: xchunked"],
    "two-codings": [LENGTH, "Transfer-Encoding: identity", CHUNKED],
    "vertical-tab": [LENGTH, "Transfer-Encoding: \x0bchunked"],
    "folded": [LENGTH, "Transfer-Encoding:\r\n chunked"],
    "bare-line-feed": [LENGTH, "X: y\nTransfer-Encoding: chunked"],
    "zero-byte": [LENGTH, "X\0: y", CHUNKED],
    "two-hosts": ["Host: evil.test"],
}
REQUESTS = {
    **{
        name: "\r\n".join(["POST /smuggle HTTP/1.1", "Host: api.test", *lines, "", ""]) + BODY
        for name, lines in SMUGGLED.items()
    },
    "old-version": "\r\n".join(["POST /smuggle HTTP/1.0", "Host: api.test", CHUNKED, LENGTH, "", ""]) + BODY,
    "in-the-path": "GET /smuggle\rGET /inner HTTP/1.1\r\nHost: api.test\r\n\r\n",
}


@edges("retry-get", fixture="bare")
def test_a_get_is_sent_once_more(bare: Standing) -> None:
    """
    Its connection broke after it was sent: the client sees an answer and no error.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder:
        recorder.resets = 1
        assert bare.client().get("/retried").status == 200
        assert [head.split()[1] for head in recorder.heads] == [b"/retried", b"/retried"]


@edges("retry-get", fixture="bare")
def test_a_get_is_not_sent_for_ever(bare: Standing) -> None:
    """
    A server that breaks every connection is not asked again and again.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder:
        recorder.resets = 100
        assert bare.client().get("/retried").status == 502
        assert 2 <= len(recorder.requests) <= 4


@edges(fixture="bare")
@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_a_post_is_never_sent_twice(bare: Standing, method: str, kept: bool) -> None:
    """
    Its connection broke after it was sent: nobody knows what became of it, so the client is told; also on a connection
    that had served before.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder:
        if kept:
            assert bare.client().get("/before").status == 200
            recorder.requests.clear()
        recorder.resets = 1
        answer = bare.client().request(method, "/once", body=b"{}")
        assert answer.status == 502
        assert len(recorder.requests) == 1


@edges(fixture="bare")
def test_a_post_that_was_not_sent_is_no_loss(bare: Standing) -> None:
    """
    An idle connection that the service has closed costs nobody anything.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder:
        for number in range(5):
            assert bare.client().post(f"/{number}", body=b"{}").status == 200
        assert len(recorder.requests) == 5


@edges(fixture="bare")
@pytest.mark.parametrize("name", REQUESTS)
def test_no_request_is_smuggled(bare: Standing, name: str) -> None:
    """
    The service sees the requests that the proxy saw: never a second request inside the first, never two ways to count.
    """
    with Recorder.on(bare.sandbox, bare.edge.address) as recorder:
        statuses = []
        with bare.client().kept() as connection, contextlib.suppress(OSError, HTTPException):
            connection.settimeout(3)
            connection.sendall(REQUESTS[name].encode("latin-1"))
            while True:
                answer: Answer = read(connection)
                statuses.append(answer.status)
        # Two requests of the client's may arrive as two, when the proxy saw two.
        assert len(recorder.requests) <= len(statuses)
        for request in recorder.requests:
            head, _, _ = request.lower().partition(b"\r\n\r\n")
            assert head.count(b"\r\ncontent-length:") + head.count(b"\r\ntransfer-encoding:") <= 1, request
            assert head.count(b"\r\nhost:") == 1
            assert b"evil.test" not in head
            if b"/smuggle" in head:
                assert b"/inner" not in head
            assert b"\n" not in head.replace(b"\r\n", b"")
            assert all(
                re.fullmatch(rb"[!#-'*+.^-z|~0-9-]+", line.split(b":")[0]) for line in head.split(b"\r\n")[1:]
            ), head
            assert all(re.fullmatch(rb"\d+", length) for length in re.findall(rb"\r\ncontent-length: *([^\r]*)", head))
            assert b"\0" not in head
            assert b"\x0b" not in head
