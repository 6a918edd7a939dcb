"""A connection's bytes are divided into requests as an HTTP parser divides them, in whatever pieces they come."""

import contextlib
import itertools
from collections.abc import Sequence

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_runtime.serving.framing import MAX_FIELDS, MAX_HEAD_BYTES, Framing
from tandem_runtime.serving.refusal import Refusal


class Seen:
    """What httptools reads: method, headers and body of each request."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.in_head = True
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def on_message_begin(self) -> None:
        self.headers, self.body, self.in_head = [], b"", True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # no trailer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_head = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.requests.append((self.parser.get_method(), self.headers, self.body))


names = st.sampled_from([b"a", b"Accept", b"X-Upgrade-Not", b"content-lengths", b"hosts"])
values = st.sampled_from([b"", b"b", b"5", b"chunked", b" 7 ", b"x" * 300])
extra = st.lists(st.tuples(names, values), max_size=5)
bodies = st.binary(max_size=60) | st.integers(0, 70_000).map(bytes)


def head_of(line: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join((line, b"\r\n", *(b"%s: %s\r\n" % header for header in headers), b"\r\n"))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    line = draw(st.sampled_from([b"GET /x HTTP/1.1", b"POST /x?y=%20 HTTP/1.1", b"DELETE /%C3%A9 HTTP/1.1"]))
    headers = [(b"Host", b"x"), *draw(extra)]
    if draw(st.booleans()):
        body = draw(bodies)
        headers.insert(draw(st.integers(0, len(headers))), (b"Content-Length", b"%d" % len(body)))
        return head_of(line, headers) + body
    headers.append((b"transfer-encoding", draw(st.sampled_from([b"chunked", b"Chunked"]))))
    sent = head_of(line, headers)
    for chunk in draw(st.lists(bodies.filter(bool), max_size=4)):
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x", b"%x;a=b"])) % len(chunk)
        sent += size + b"\r\n" + chunk + b"\r\n"
    return sent + b"0\r\n" + draw(st.sampled_from([b"", b"a: b\r\n", b"Host: y\r\nA: b\r\n"])) + b"\r\n"


places = st.lists(st.integers(0, 1 << 18) | st.integers(0, 300), max_size=10)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in itertools.pairwise(ends)]


def handed_on(pieces: Sequence[bytes]) -> tuple[list[bytes], Framing]:
    """Return the bytes of each whole request."""
    framing, found, open_ = Framing(), list[bytes](), b""
    for piece in pieces:
        for part in framing.feed(piece):
            assert part.begins == (not open_)
            open_ += bytes(part.data)
            if part.ends:
                found.append(open_)
                open_ = b""
    assert bool(open_) == framing.in_body
    return found, framing


@given(st.lists(requests(), min_size=1, max_size=4), places, st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]))
def test_requests_are_divided_as_a_parser_divides_them(sent: list[bytes], places: list[int], between: bytes) -> None:
    whole = between.join([b"", *sent])
    expected = Seen()
    expected.parser.feed_data(whole)
    found, framing = handed_on(cut(whole, places))
    assert not framing.in_head
    assert len(found) == len(sent)
    seen = Seen()
    for request in found:
        seen.parser.feed_data(request)
    assert seen.requests == expected.requests


@given(requests(), places, st.integers(0, 1 << 18))
def test_a_request_that_is_not_complete_is_not_ended(sent: bytes, places: list[int], end: int) -> None:
    sent = sent[: end % len(sent)]
    found, framing = handed_on(cut(sent, places))
    assert found == []
    assert framing.in_head or framing.in_body or not sent


@given(st.binary(max_size=300) | requests(), st.binary(max_size=5), st.integers(0, 400), places)
def test_whatever_comes_is_handed_on_or_refused(sent: bytes, noise: bytes, at: int, places: list[int]) -> None:
    at %= len(sent) + 1
    framing = Framing()
    with contextlib.suppress(Refusal):  # nothing else is raised
        for piece in cut(sent[:at] + noise + sent[at + len(noise) :], places):
            assert all(part.data for part in framing.feed(piece))
    assert len(framing._head) <= 2 * MAX_HEAD_BYTES + 1


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ([(b"content-length", b"5"), (b"content-length", b"5")], "content-length"),
        ([(b"content-length", b"5, 5")], "content-length"),
        ([(b"content-length", b"+5")], "content-length"),
        ([(b"content-length", b"")], "content-length"),
        ([(b"content-length", b"9" * 19)], "content-length"),
        ([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], "content-length"),
        ([(b"transfer-encoding", b"chunked, chunked")], "transfer-encoding"),
        ([(b"transfer-encoding", b"\x0bchunked")], "transfer-encoding"),
        ([(b"Transfer-Encoding ", b"identity")], "transfer-encoding"),
        ([(b"a", b"b\r\n folded: 1")], None),
        ([(b"a", b"b\ncontent-length: 5")], None),
        ([(b"host", b"y")], "host"),
    ],
)
def test_a_head_whose_end_or_body_is_not_certain_is_refused(headers: list[tuple[bytes, bytes]], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        list(Framing().feed(head_of(b"POST / HTTP/1.1", [(b"host", b"x"), *headers])))
    assert refused.value.status in (400, 501)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "chunks",
    [b"5 \r\nabcdeX", b"-1\r\n", b"0x5\r\n", b"\r\n", b"5\nabcde", b"5;\x00\r\n", b"0\r\nno colon\r\n", b"0\r\na: b\n"],
)
def test_a_chunk_that_is_malformed_is_refused(chunks: bytes) -> None:
    framing = Framing()
    list(framing.feed(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"))
    assert framing.in_body
    with pytest.raises(Refusal) as refused:
        list(framing.feed(chunks))
    assert refused.value.status == 400


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"G\x00T", b" GET", b"GET\r", b"A" * 40, b"GET / HTTP/1.1\nhost"])
def test_what_is_no_head_is_refused_before_its_end(start: bytes) -> None:
    with pytest.raises(Refusal):
        list(Framing().feed(start))


def test_an_offer_to_upgrade_is_taken_out_and_the_body_kept() -> None:
    headers = [(b"Host", b"x"), (b"Connection", b"Upgrade"), (b"Upgrade", b"h2c"), (b"Content-Length", b"3")]
    (part,) = Framing().feed(head_of(b"POST / HTTP/1.1", headers) + b"abc")
    seen = Seen()
    seen.parser.feed_data(bytes(part.data))
    assert [body for _, _, body in seen.requests] == [b"abc"]
    assert [name for name, _ in seen.requests[0][1]] == [b"Host", b"Connection", b"Content-Length"]


def test_heads_are_bounded_and_what_is_held_too() -> None:
    framing = Framing()
    for _ in range(5):
        assert list(framing.feed(b"GET / HTTP/1.1\r\na: " + b"x" * (MAX_HEAD_BYTES // 6))) == []
    with pytest.raises(Refusal) as refused:
        list(framing.feed(b"x" * MAX_HEAD_BYTES))
    assert refused.value.status == 431
    assert len(framing._head) <= 2 * MAX_HEAD_BYTES + 1
    with pytest.raises(Refusal) as refused:
        list(Framing().feed(head_of(b"GET / HTTP/1.1", [(b"host", b"x")] + [(b"a", b"b")] * MAX_FIELDS)))
    assert refused.value.status == 431
