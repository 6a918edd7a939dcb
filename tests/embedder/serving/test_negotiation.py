"""Content-Type and Accept."""

import pytest

from tandem_contract.decoding import InvalidMessage
from tandem_embedder.api.embed_route import timeout_seconds
from tandem_embedder.api.negotiation import Syntax, reply_syntax, request_syntax
from tandem_embedder.errors import InvalidDeadline


@pytest.mark.parametrize(
    ("content_type", "syntax"),
    [
        (b"application/json", Syntax.JSON),
        (b"Application/JSON; charset=utf-8", Syntax.JSON),
        (b"application/msgpack", Syntax.MSGPACK),
    ],
)
def test_accepted_content_types(content_type: bytes, syntax: Syntax):
    assert request_syntax(content_type, None) is syntax
    assert request_syntax(content_type, b"identity") is syntax


@pytest.mark.parametrize(
    ("content_type", "coding"),
    [
        (None, None),
        (b"", None),
        (b"text/plain", None),
        (b"application/x-www-form-urlencoded", None),
        (b"\xff", None),
        (b"application/json", b"gzip"),
    ],
)
def test_refused_content_types(content_type: bytes | None, coding: bytes | None):
    with pytest.raises(InvalidMessage) as refused:
        request_syntax(content_type, coding)
    assert refused.value.code == "unsupported_media_type"


@pytest.mark.parametrize(
    ("accept", "syntax"),
    [
        (None, Syntax.JSON),
        (b"", Syntax.JSON),
        (b"*/*", Syntax.JSON),
        (b"application/*", Syntax.JSON),
        (b"application/json", Syntax.JSON),
        (b"text/html, */*;q=0.1", Syntax.JSON),
        (b"application/msgpack", Syntax.MSGPACK),
        (b"application/msgpack, */*", Syntax.MSGPACK),
        (b"application/msgpack;q=0.5, application/json", Syntax.JSON),
        (b"application/msgpack, application/json;q=0.5", Syntax.MSGPACK),
        (b"application/json, application/msgpack", Syntax.JSON),
        (b"application/json;q=0, */*", Syntax.MSGPACK),
        (b"application/msgpack;q=nonsense", Syntax.MSGPACK),
    ],
)
def test_the_reply_has_the_format_that_the_caller_prefers(accept: bytes | None, syntax: Syntax):
    assert reply_syntax(accept) is syntax


@pytest.mark.parametrize("accept", [b"text/html", b"application/json;q=0", b"image/*"])
def test_a_caller_that_accepts_neither_format_gets_an_error(accept: bytes):
    with pytest.raises(InvalidMessage) as refused:
        reply_syntax(accept)
    assert refused.value.code == "not_acceptable"


@pytest.mark.parametrize(("value", "seconds"), [(None, None), (b"1500", 1.5), (b"0", 0.0)])
def test_the_callers_time(value: bytes | None, seconds: float | None):
    assert timeout_seconds(value) == seconds


@pytest.mark.parametrize("value", [b"", b"-1", b"1.5", b"soon", b"9" * 10, b"\xd9\xa1"])
def test_a_time_that_cannot_be_read_is_refused(value: bytes):
    with pytest.raises(InvalidDeadline):
        timeout_seconds(value)
