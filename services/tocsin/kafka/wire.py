"""The two Kafka requests that tell whether a broker is up and which cluster it belongs to.

Written by hand, over a blocking socket, because a start must be possible where no event loop runs, and because a client
library retries and logs where a probe has to answer yes or no.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_API_VERSIONS = 18
_METADATA = 3
# Version 2 is the first whose answer carries the cluster's id; Kafka 4 still speaks it.
_METADATA_VERSION = 2
_CLIENT_ID = b"tocsin-probe"
_MAX_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """What a broker says of its cluster."""

    cluster_id: str
    broker_count: int
    controller_id: int


def probe(host: str, port: int, timeout_s: float) -> ClusterInfo | None:
    """Asks for the API versions, then for metadata; None when nobody answers in the protocol within the timeout."""
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            _ask(connection, _API_VERSIONS, 0, b"")
            # An empty list of topics asks for the brokers alone.
            return _decode_metadata(_ask(connection, _METADATA, _METADATA_VERSION, struct.pack(">i", 0)))
    except (OSError, struct.error, ValueError):
        return None


def _ask(connection: socket.socket, api_key: int, api_version: int, body: bytes) -> bytes:
    """Sends one request and returns its answer without the length and the correlation id."""
    head = struct.pack(">hhih", api_key, api_version, api_key, len(_CLIENT_ID)) + _CLIENT_ID
    connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    (size_bytes,) = struct.unpack(">i", _receive(connection, 4))
    if not 4 <= size_bytes <= _MAX_ANSWER_BYTES:
        raise ValueError("not an answer in Kafka's protocol")
    answer = _receive(connection, size_bytes)
    if struct.unpack_from(">i", answer)[0] != api_key:
        raise ValueError("the answer belongs to another request")
    return answer[4:]


def _receive(connection: socket.socket, size_bytes: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size_bytes:
        chunk = connection.recv(size_bytes - len(chunks))
        if not chunk:
            raise ValueError("the connection was closed")
        chunks += chunk
    return bytes(chunks)


def _decode_metadata(answer: bytes) -> ClusterInfo:
    (broker_count,) = struct.unpack_from(">i", answer)
    at = 4
    for _ in range(broker_count):
        at += 4  # node id
        _, at = _text(answer, at)  # host
        at += 4  # port
        _, at = _text(answer, at)  # rack
    cluster_id, at = _text(answer, at)
    (controller_id,) = struct.unpack_from(">i", answer, at)
    return ClusterInfo(cluster_id, broker_count, controller_id)


def _text(answer: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">h", answer, at)
    at += 2
    if length < 0:
        return "", at
    return answer[at : at + length].decode(), at + length
