"""Divides the bytes of a connection into requests, within limits. Pure: no I/O and no clock.

uvicorn takes heads, trailers and chunk extensions of any size. ``Framing`` therefore looks at the bytes first. It hands
on only whole heads and plain chunks:

- A head is handed on once it is complete. Offers to upgrade the protocol are taken out: a server that does not upgrade
  has to ignore them (RFC 9110, section 7.8), and httptools would lose the request's body. Java's client offers HTTP/2
  with its first request.
- Chunk extensions and trailers are dropped, as RFC 9112, section 7.1.1, and RFC 9110, section 6.5.1, allow. A trailer
  could otherwise pass for a header that a proxy has checked.

The HTTP parser behind it still decides what is valid. Here a request is refused if its end is not certain, or if it
exceeds a limit.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tandem_runtime.serving.refusal import Refusal

MAX_HEAD_BYTES: Final = 64 << 10
"""Maximum size of a head; also of trailers and chunk extensions in a row."""
MAX_FIELDS: Final = 100
"""Maximum number of header fields in a head; each costs about 150 bytes besides its text."""

_HEAD_END: Final = b"\r\n\r\n"
_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}(?: |\Z)")
_VERSION: Final = re.compile(rb" HTTP/(0\.9|1\.0|1\.1|2\.0)\Z")
_FIELD: Final = re.compile(
    rb"\r\n(host|content-length|transfer-encoding|expect|upgrade)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE
)
_OFFER: Final = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}\Z")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n\Z")


class Part(NamedTuple):
    """Bytes of one request to hand on; ``begins`` and ``ends``: whether they are its first and its last."""

    data: bytes | memoryview
    begins: bool
    ends: bool


class Framing:
    """State of one connection's input."""

    def __init__(self) -> None:
        self._head = bytearray()  # unfinished
        self._left = 0  # bytes of a body or a chunk that are still to come
        self._chunks: _Chunks | None = None  # of a chunked body
        self.expects = False
        """Whether the last head asks for ``100 Continue``."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not complete."""
        return bool(self._head)

    @property
    def in_body(self) -> bool:
        """Whether a head is complete and its body is not."""
        return self._left > 0 or self._chunks is not None

    def feed(self, data: bytes) -> Iterator[Part]:
        """Return the parts of requests in ``data``, the next bytes of the connection.

        Raises:
            Refusal: the input is malformed or exceeds a limit. The parts before it have been returned.
        """
        at = 0
        while at < len(data):
            if self._chunks is not None:
                at, part = self._chunks.feed(data, at)
                if part.ends:
                    self._chunks = None
                if part.data:
                    yield part
            elif self._left:
                taken = data if at == 0 and len(data) <= self._left else memoryview(data)[at : at + self._left]
                at += len(taken)
                self._left -= len(taken)
                yield Part(taken, False, not self._left)
            else:
                head, at = self._take_head(data, at)
                if head is None:
                    return
                head = self._begin(head)
                body = data[at : at + self._left]
                at += len(body)
                self._left -= len(body)
                yield Part(head + body if body else head, True, not self.in_body)

    def _take_head(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """Return the head that begins or goes on at ``at``, None if it is not complete, and the place behind it."""
        held = self._head
        if not held:
            while data[at : at + 2] == b"\r\n":  # RFC 9112, section 2.2: ignore empty lines before a request
                at += 2
            end = data.find(_HEAD_END, at)
            if end >= 0:
                head = data[at : end + 4]
                _check_size(len(head))
                return head, end + 4
        seen = len(held)
        held += data[at : at + MAX_HEAD_BYTES + 1]
        while held.startswith(b"\r\n"):  # an empty line before the request, in two pieces
            del held[:2]
            seen -= 2
        end = held.find(_HEAD_END, max(0, seen - 3))
        if end >= 0:
            _check_size(end + 4)
            head = bytes(held[: end + 4])
            held.clear()
            return head, at + end + 4 - seen
        _check_size(len(held))
        if held and held != b"\r" and not _METHOD.match(held):
            raise _malformed()
        if _BARE_LF.search(held, max(0, seen - 1)):
            raise _malformed()
        return None, len(data)

    def _begin(self, head: bytes) -> bytes:
        """Check a complete head and note how long its body is; return the head to hand on."""
        if head.count(b"\r\n") - 2 > MAX_FIELDS:
            raise Refusal(431, "limit_exceeded", f"the request has more than {MAX_FIELDS} header fields", "headers")
        if head.count(b"\n") != head.count(b"\r\n") or b"\r\n " in head or b"\r\n\t" in head:
            raise _malformed()
        line = head[: head.find(b"\r\n")]
        version = b"1.1" if line.endswith(b" HTTP/1.1") else _version(line)
        if line.startswith(b"CONNECT "):
            raise Refusal(405, "method_not_allowed", "CONNECT is not allowed here", "method")
        fields: dict[bytes, list[bytes]] = {}
        for name, value in _FIELD.findall(head):
            fields.setdefault(name.lower(), []).append(value.rstrip(b" \t"))
        hosts = len(fields.get(b"host", ()))
        if hosts != 1 and (version == b"1.1" or hosts):
            message = f"host: exactly one Host header was expected, there are {hosts}"
            raise Refusal(400, "malformed_body", message, "host")
        codings, lengths = fields.get(b"transfer-encoding"), fields.get(b"content-length")
        if codings:
            self._begin_chunks([coding.lower() for coding in codings], lengths, version)
        elif lengths:
            if len(lengths) > 1 or not _LENGTH.match(lengths[0]):
                raise _malformed("content-length: one number of bytes was expected", "content-length")
            self._left = int(lengths[0])
        self.expects = b"100-continue" in map(bytes.lower, fields.get(b"expect", ()))
        return _OFFER.sub(b"", head) if b"upgrade" in fields else head

    def _begin_chunks(self, codings: list[bytes], lengths: list[bytes] | None, version: bytes) -> None:
        if codings != [b"chunked"]:
            message = "transfer-encoding: only chunked is implemented, and that alone"
            raise Refusal(501, "malformed_body", message, "transfer-encoding")
        if version == b"1.0":
            raise _malformed("transfer-encoding: HTTP/1.0 has none; send content-length", "transfer-encoding")
        if lengths:
            raise _malformed("content-length: not allowed beside transfer-encoding", "content-length")
        self._chunks = _Chunks()


class _Chunks:
    """State of a chunked body (RFC 9112, section 7.1)."""

    def __init__(self) -> None:
        self._line = bytearray()  # unfinished: the line of a chunk's size, or a trailer
        self._left = 0  # bytes of the chunk, with the line end behind them
        self._in_trailers = False
        self._bare = 0  # bytes since the last one of the body

    def feed(self, data: bytes, at: int) -> tuple[int, Part]:
        """Return the place behind what was read, and the chunks in it as a part."""
        out: list[bytes] = []
        while at < len(data):
            if self._left > 2:
                taken = data[at : at + self._left - 2]
                out += (b"%x\r\n" % len(taken), taken, b"\r\n")
                at += len(taken)
                self._left -= len(taken)
                self._bare = 0
            elif self._left:
                if data[at] != b"\r\n"[2 - self._left]:
                    raise _malformed()
                at += 1
                self._left -= 1
            else:
                at, ended = self._read_line(data, at)
                if ended:
                    out.append(b"0\r\n\r\n")
                    return at, Part(b"".join(out), False, True)
        return at, Part(b"".join(out), False, False)

    def _read_line(self, data: bytes, at: int) -> tuple[int, bool]:
        """Read on in a line; return the place behind it, and whether it is the last of the body."""
        end = data.find(b"\n", at)
        piece = data[at : end + 1] if end >= 0 else data[at:]
        self._bare += len(piece)
        if self._bare > MAX_HEAD_BYTES:
            message = f"the trailers or chunk extensions have more than {MAX_HEAD_BYTES} bytes"
            raise Refusal(431, "limit_exceeded", message, "trailers")
        self._line += piece
        at += len(piece)
        if end < 0:
            return at, False
        line = bytes(self._line)
        self._line.clear()
        if self._in_trailers:
            if line == b"\r\n":
                return at, True
            if not line.endswith(b"\r\n") or b":" not in line:
                raise _malformed()
            return at, False
        size = _CHUNK_SIZE.match(line)
        if size is None:
            raise _malformed()
        bytes_of_chunk = int(size[1], 16)
        self._in_trailers = bytes_of_chunk == 0
        self._left = bytes_of_chunk + 2 if bytes_of_chunk else 0
        return at, False


def _version(line: bytes) -> bytes:
    version = _VERSION.search(line)
    if version is None:
        raise _malformed()
    if version[1] not in (b"1.0", b"1.1"):
        raise Refusal(505, "malformed_body", f"HTTP/{version[1].decode()} is not served here; use HTTP/1.1")
    return version[1]


def _check_size(bytes: int) -> None:
    if bytes > MAX_HEAD_BYTES:
        message = f"the request's head is larger than {MAX_HEAD_BYTES} bytes"
        raise Refusal(431, "limit_exceeded", message, "headers")


def _malformed(message: str = "the request is not valid HTTP/1.1", param: str | None = None) -> Refusal:
    return Refusal(400, "malformed_body", message, param)
