"""Decompresses a stream in steps whose output is bounded, however far the content expands."""

import zlib
from typing import Final, Protocol

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.http.coding.negotiation import Coding

MAX_MEMBERS: Final = 1_000
"""Maximum number of gzip members or zstd frames in a body. Each costs some microseconds, however small it is."""

MAX_WINDOW_LOG: Final = 23
"""RFC 9659: a zstd window of up to 8 MiB, which a decoder holds in memory."""

_GZIP_BITS: Final = 31  # zlib's code for the gzip format with a window of any size
_READ_BYTES: Final = 64 << 10  # each step of zlib copies the rest of its input
_GZIP_BYTES: Final = 48 << 10
_ZSTD_BYTES: Final = 384 << 10


class _Member(Protocol):
    """One gzip member or zstd frame."""

    def step(self, data: bytes, most: int) -> tuple[bytes, bytes, bool]:
        """Return up to ``most`` bytes of the content, the part of ``data`` not taken, and whether the member ends.

        Without content, the member takes all of ``data`` or ends.

        Raises:
            ValueError: the data is damaged.
        """


class _GzipMember:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_BITS)

    def step(self, data: bytes, most: int) -> tuple[bytes, bytes, bool]:
        try:
            content = self._stream.decompress(data, most)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        ends = self._stream.eof
        return content, self._stream.unused_data if ends else self._stream.unconsumed_tail, ends


class _ZstdFrame:
    def __init__(self) -> None:
        from tandem_gateway.http.coding import zstandard  # noqa: PLC0415 - only when needed: see there

        options: dict[int, int] = {zstandard.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
        self._stream = zstandard.ZstdDecompressor(options=options)
        self._error = zstandard.ZstdError

    def step(self, data: bytes, most: int) -> tuple[bytes, bytes, bool]:
        if not data and self._stream.needs_input:  # zstd takes several calls without input for a fault
            return b"", b"", False
        try:
            content = self._stream.decompress(data, most)
        except self._error as error:
            raise ValueError(str(error)) from None
        ends = self._stream.eof
        return content, self._stream.unused_data if ends else b"", ends


class Decompressor:
    """Decompresses one body, which may have several members; not thread-safe."""

    def __init__(self, coding: Coding) -> None:
        """Make the decompressor of a body with this coding."""
        self._coding = coding
        self._make = _GzipMember if coding == "gzip" else _ZstdFrame
        self._member: _Member = self._make()
        self._members = 1
        self._ended = False
        self._input = memoryview(b"")
        self._rest = b""
        self.written = 0
        """Bytes of content so far."""

    @property
    def memory(self) -> int:
        """Bytes that the decompressor takes, at most. The window of zstd grows with the content."""
        if self._coding == "gzip":
            return _GZIP_BYTES
        return _ZSTD_BYTES + min(self.written, 1 << MAX_WINDOW_LOG)

    def feed(self, data: bytes) -> None:
        """Take the next part of the body; call it only after ``take`` has returned nothing."""
        assert not self._rest
        self._input = memoryview(data)

    def take(self, most: int) -> bytes:
        """Return up to ``most`` bytes of the content; nothing if ``feed`` must be called first.

        Raises:
            InvalidMessage: the body is damaged, or has too many members.
        """
        while True:
            if not self._rest and self._input:
                self._rest = bytes(self._input[:_READ_BYTES])
                self._input = self._input[_READ_BYTES:]
            if self._ended:
                if not self._rest:
                    return b""
                self._members += 1
                if self._members > MAX_MEMBERS:
                    raise self._malformed(f"it has more than {MAX_MEMBERS} members")
                self._member, self._ended = self._make(), False
            try:
                content, self._rest, self._ended = self._member.step(self._rest, most)
            except ValueError as error:
                raise self._malformed(str(error)) from None
            if content:
                self.written += len(content)
                return content
            if not self._rest and not self._input:
                return b""

    def end(self) -> None:
        """Note the end of the body.

        Raises:
            InvalidMessage: the body is cut.
        """
        if not self._ended:
            raise self._malformed("it ends too early")

    def _malformed(self, reason: str) -> InvalidMessage:
        return InvalidMessage(
            f"body: cannot be decompressed as {self._coding}: {reason}", code="malformed_body", param="body"
        )
