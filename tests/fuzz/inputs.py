"""Inputs for decoders: arbitrary bytes, and valid messages with a few bytes changed."""

import json
import re
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import hypothesis
import msgspec
from hypothesis import strategies as st

T = TypeVar("T")

MAX_MESSAGE_BYTES = 2000

bounded = hypothesis.settings(max_examples=min(4000, hypothesis.settings.default.max_examples))
"""For inputs that take milliseconds to generate or read: fewer examples in `make fuzz` than its profile has."""
thoroughly = hypothesis.settings(max_examples=min(4000, max(200, hypothesis.settings.default.max_examples)))
"""Like the previous one, with more examples than usual in `make test`."""

_TOKENS = [
    *(bytes([byte]) for byte in b'{}[],:"\\ \n\x00\xff-.eE0'),
    b"null",
    b"true",
    b"1e-9999999999999999999",
    b"0e99999999999999999999",
    b"1e400",
    b"123456789012345678901234567890",
    b"9" * 400,
    b'"\\ud800"',
    b"\\u0000",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xff\xfe",
    b" - at `$.",
    b"`$.x`",
    b"[" * 2000,
    b'{"a":' * 2000,
    b'{"a":[{}]}',
    b'"' + b"k" * 500 + b'":',
    "\U0001f600".encode() * 300,
    b"\xc4\xff\xc6\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff\xdf\xff\xff\xff\xff",
    b"\x91" * 2000,
]


_PIECES = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s"]')


@st.composite
def changed(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """A valid message with up to four changes: flipped bits, insertions, deletions, repetitions, a cut.

    Half of the changes concern whole pieces of JSON: a string, a bracket, a digit.
    """
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 4))):
        pieces = [found.span() for found in _PIECES.finditer(content)]
        if pieces and draw(st.booleans()):
            begin, end = draw(st.sampled_from(pieces))
        else:
            begin = draw(st.integers(0, len(content)))
            end = min(len(content), begin + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(["flip", "insert", "replace", "delete", "repeat", "cut"]))
        if kind == "flip" and begin < len(content):
            content[begin] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            content[begin:begin] = draw(st.sampled_from(_TOKENS) | st.binary(max_size=8))
        elif kind == "replace":
            content[begin:end] = draw(st.sampled_from(_TOKENS))
        elif kind == "delete":
            del content[begin:end]
        elif kind == "repeat":
            content[begin:end] = content[begin:end] * draw(st.integers(2, 50))
        elif kind == "cut":
            del content[begin:]
    return bytes(content)


def hostile(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly changed messages, and some random bytes."""
    return changed(valid) | changed(valid) | changed(valid) | st.binary(max_size=200)


def as_json(*messages: Any) -> list[bytes]:
    """The messages, each in three spellings."""
    return [
        written
        for message in messages
        for written in (
            msgspec.json.encode(message),
            json.dumps(message, indent=1).encode(),
            json.dumps(message, ensure_ascii=False).encode(),
        )
    ]


def outcome(read: Callable[[], T], *refusals: type[Exception]) -> tuple[T | None, Exception | None]:
    """Return the result of ``read``, or its error, which must be one of ``refusals`` and fit to be sent."""
    try:
        return read(), None
    except refusals as error:
        refused = error
    # UTF-8 cannot write half a surrogate pair; a reply with one could not be encoded.
    assert len(str(refused).encode()) < MAX_MESSAGE_BYTES
    return None, refused


def assert_names_its_field(error: Exception) -> None:
    """Check that an error about a field names it in its message and in ``param``; other errors must say so."""
    param, message = getattr(error, "param", None), str(error)
    if param is None:
        assert "the body" in message or "message" in message, message
    else:
        assert len(param.encode()) < MAX_MESSAGE_BYTES
        assert param in message, (param, message)


def assert_cost_is_linear(read: Callable[[int], object], *refusals: type[Exception]) -> None:
    """Check that eight times the input takes at most eight times the calls and the memory, with some tolerance.

    Args:
        read: reads an input with this number of repetitions of its part.
        refusals: errors that it may raise.
    """
    calls, peak = _cost(lambda: read(500), refusals)
    more_calls, higher_peak = _cost(lambda: read(4000), refusals)
    assert more_calls <= 8 * 1.5 * calls + 500
    assert higher_peak <= 8 * 1.5 * peak + 100_000


def _cost(read: Callable[[], object], refusals: tuple[type[Exception], ...]) -> tuple[int, int]:
    """Return the number of Python calls and the peak memory, in bytes, of ``read``."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1

    tracemalloc.start()
    sys.setprofile(count)
    try:
        read()
    except refusals:
        pass
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return calls, peak
