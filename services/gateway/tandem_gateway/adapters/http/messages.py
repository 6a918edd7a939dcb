"""Requests and responses with complete bodies, their bounds, and the errors of a call."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

MAX_HEAD_BYTES: Final = 16 << 10
"""Maximum size of a response's head, of its trailers, and of any other input that does not add to its body."""

MAX_ERROR_BYTES: Final = 64 << 10
"""Maximum size of the body of a response whose status is not 200."""


class ConnectFailed(Exception):
    """No connection could be made; nothing was sent."""


class ConnectTimedOut(ConnectFailed):
    """The connection was not established in time; nothing was sent."""


class NoFreeConnection(TimeoutError):
    """All connections were in use until the deadline; nothing was sent."""


class ConnectionBroken(Exception):
    """The connection closed, or received invalid HTTP, before the response was complete."""


class ResponseTooLarge(Exception):
    """The response is larger than the caller allows. The connection was closed before the whole response was read."""


class UnsendableRequest(ValueError):
    """The request's method, target or headers cannot be sent: a server would read them as something else."""


@dataclass(slots=True)
class Response:
    """A complete response."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Names, in lower case, and values, in the order in which they came."""
    body: bytes = b""

    def header(self, name: bytes) -> str | None:
        """Return the first value of a header; ``name`` is in lower case."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None


def encode_request(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """Return a request as it is sent; ``headers`` has host and, if there is a body, content-length.

    Raises:
        UnsendableRequest: a part holds a line break or a zero byte, or characters outside of Latin-1.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    text = "\r\n".join(lines)
    # A line break inside of a part would begin another header, or another request.
    breaks = len(lines) - 1
    if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
        raise UnsendableRequest("the request's method, target or headers hold a line break or a zero byte")
    try:
        return text.encode("latin-1") + b"\r\n\r\n" + body
    except UnicodeEncodeError:
        raise UnsendableRequest("the request's head has characters outside of Latin-1") from None
