"""Raw HTTP over a socket, for requests that no HTTP client would send."""

import re
import socket
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


def connect(url: str, timeout: float = 60.0) -> socket.socket:
    """Return a connection to the service at ``url``."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    return socket.create_connection((address.hostname, address.port), timeout)


def read_to_end(connection: socket.socket) -> bytes:
    """Return the bytes until the server closes or resets the connection."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def read_response(connection: socket.socket) -> bytes:
    """Return one response with a content-length; the bytes so far if the server closes early."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        if end and length and len(body) >= int(length[1]):
            return received
        piece = connection.recv(65536)
        if not piece:
            return received
        received += piece


def talk(url: str, request: bytes) -> bytes:
    """Send bytes and return everything received until the server closes the connection."""
    with connect(url) as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            return b""  # the server has already closed the connection
        return read_to_end(connection)


HALF_A_BODY = (
    b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b'content-length: 1000\r\nconnection: close\r\n\r\n{"query": "half'
)
HALF_A_HEAD = b"POST /v1/search HTTP/1.1\r\nhost: te"


class StalledRequest:
    """A request that stops after its beginning."""

    def __init__(self, url: str, sent: bytes = HALF_A_BODY) -> None:
        self.connection = connect(url)
        self.connection.sendall(sent)

    def answer(self) -> bytes:
        """Return the response once the server's timeout has passed."""
        return read_to_end(self.connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
