"""
Requests over one HTTP/2 connection.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset


@dataclass
class Answer:
    """
    The answer on one stream; status 0 is a reset.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def exchange(connection: socket.socket, requests: Sequence[tuple[str, str, bytes]], host: str) -> list[Answer]:
    """
    Send all requests (method, path, body) at once; return the answers in their order.
    """
    talk = H2Connection(H2Configuration(header_encoding="utf-8"))
    talk.initiate_connection()
    answers: dict[int, Answer] = {}
    for method, path, body in requests:
        stream = talk.get_next_available_stream_id()
        answers[stream] = Answer()
        head = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        talk.send_headers(stream, [*head, ("content-length", str(len(body)))] if body else head, end_stream=not body)
        size = talk.max_outbound_frame_size
        for start in range(0, len(body), size):
            talk.send_data(stream, body[start : start + size], end_stream=start + size >= len(body))
    connection.sendall(talk.data_to_send())
    left = set(answers)
    while left:
        data = connection.recv(65536)
        if not data:
            break
        for event in talk.receive_data(data):
            if isinstance(event, ResponseReceived):
                headers = {str(name): str(value) for name, value in event.headers}
                answers[event.stream_id].status = int(headers.pop(":status"))
                answers[event.stream_id].headers = headers
            elif isinstance(event, DataReceived):
                answers[event.stream_id].body += event.data
                talk.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded | StreamReset):
                left.discard(event.stream_id or 0)
        connection.sendall(talk.data_to_send())
    return list(answers.values())
