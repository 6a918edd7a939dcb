"""JSON lines and gzip: the same documents as JSON, the same errors, and bounds that hold against hostile bodies."""

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http import ingest_body, ingest_content
from tandem_gateway.http.ingest_body import IngestReader, read_lines
from tandem_gateway.http.ingest_content import Content, content_of, decompressed
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.memory import MemoryBudget, OverBudget
from tandem_runtime.request_id import Scope

LIMITS = RequestLimits(documents=5, text_chars=50, metadata_bytes=100, query_chars=100, top_k=10)
MIB = 1 << 20


def lines_of(documents: list[Any], separator: str = "\n") -> bytes:
    return separator.join(json.dumps(each) for each in documents).encode()


def scope(content_type: str, coding: str | None = None, query: str = "") -> Scope:
    headers = [(b"content-type", content_type.encode())]
    if coding is not None:
        headers.append((b"content-encoding", coding.encode()))
    return {"type": "http", "headers": headers, "query_string": query.encode()}


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\n\n \t\n"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "  "])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n"])
def test_each_line_is_a_document(separator: str, end: str, start: bytes) -> None:
    documents = [
        {"id": "a", "text": "one\ntwo"},
        {"id": 7, "text": "x", "metadata": {"n": 1.0}},
        {"id": "c", "text": "y"},
    ]
    body = start + lines_of(documents, separator) + end.encode()
    found = read_lines(body, "books", LIMITS)
    assert [(each.doc_id, each.text) for each in found] == [("a", "one\ntwo"), ("7", "x"), ("c", "y")]
    assert found[1].metadata == '{"n":1.0}'


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b'{"text":1}', "invalid_field", "documents[2].text"),
        (b'{"text":"x","more":1}', "unknown_field", "documents[2].more"),
        (b'{"text":"' + b"x" * 51 + b'"}', "limit_exceeded", "documents[2].text"),
        (b'{"text":"x","metadata":{"a":[true]}}', "invalid_field", "documents[2].metadata.a[0]"),
        (b'{"text":', "malformed_body", "documents[2]"),
    ],
)
def test_an_error_names_the_line_in_the_body_and_the_field(start: bytes, line: bytes, code: str, param: str) -> None:
    body = start + b'{"text":"a"}\n\n \r\n{"text":"b"}\r\n  ' + line + b'\n{"text":2}\n'
    with pytest.raises((InvalidMessage, InvalidRequest), match=r"^line 5: ") as raised:
        read_lines(bytearray(body), "books", LIMITS)
    assert (raised.value.code, raised.value.param) == (code, param)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_field", "documents"),
        (b" " * 200_000, "invalid_field", "documents"),
        (b'{"text":"x"}\n' * 6, "limit_exceeded", "documents"),
        (b'{"text":"x"}\n\n{"text":1}', "invalid_field", "documents[1].text"),
        (b'{"text":"x"} {"text":"y"}', "malformed_body", "documents[0]"),
        (b'[{"text":"x"}]', "invalid_field", "documents[0]"),
        (b'{"documents":[]}', "unknown_field", "documents[0].documents"),
        (b'{"text":"x","id":1.5}', "invalid_field", "documents[0].id"),
        (b'{"text":"x","id":true}', "invalid_field", "documents[0].id"),
        (b'{"text":"x","id":' + b"9" * 257 + b"}", "limit_exceeded", "documents[0].id"),
        (b'{"text":"x","id":' + b"9" * 5000 + b"}", "invalid_field", "documents[0].id"),
        (b'{"text":"' + b"x" * 51 + b'"}', "limit_exceeded", "documents[0].text"),
        (b'{"text":"' + b"x" * 100_000 + b'"}', "limit_exceeded", "documents[0]"),
        (b'{"text":"\xff"}', "invalid_encoding", "documents[0]"),
    ],
)
def test_an_error_names_the_document(body: bytes, code: str, param: str) -> None:
    with pytest.raises((InvalidMessage, InvalidRequest)) as refusal:
        read_lines(body, "books", LIMITS)
    assert refusal.value.code == code
    assert (refusal.value.param or "").startswith(param)


def test_the_headers_and_the_query_say_how_to_read_the_body() -> None:
    ndjson = "application/x-ndjson"
    assert content_of(scope("application/json")) == Content(None, gzip=False)
    assert content_of(scope("application/json", "gzip", "x=1")) == Content(None, gzip=True)
    assert content_of(scope(ndjson)) == Content("default", gzip=False)
    assert content_of(scope(f"{ndjson}; charset=utf-8", "GZIP", "collection=books")) == Content("books", gzip=True)
    for refused in (
        scope("text/plain"),
        scope(ndjson, "br"),
        scope(ndjson, "gzip, gzip"),
        scope(f"{ndjson}; charset=latin-1"),
    ):
        with pytest.raises(InvalidMessage):
            content_of(refused)
    for query in ("x=1", "collection=a&collection=b"):
        with pytest.raises(InvalidRequest):
            content_of(scope(ndjson, None, query))
    with pytest.raises(InvalidRequest, match="collection: is a field of the body"):
        content_of(scope("application/json", None, "collection=books"))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 200), st.integers(1, 200))
def test_every_gzip_is_decompressed_whatever_the_steps(contents: list[bytes], read: int, written: int) -> None:
    held: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_content, "_READ_BYTES", read)
        patch.setattr(ingest_content, "_WRITTEN_BYTES", written)
        whole = b"".join(contents)
        body = b"".join(gzip.compress(each) for each in contents)
        assert decompressed(body, len(whole), held.append) == whole
        assert held[-1] == len(whole)
        for cut in {0, 1, len(body) // 2, len(body) - 1}:
            if body[:cut] not in {b"".join(map(gzip.compress, contents[:n])) for n in range(1, 5)}:
                with pytest.raises(InvalidMessage):
                    decompressed(body[:cut], len(whole), held.append)


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"x") + b"rest", zlib.compress(b"x"), gzip.compress(b"x")[:-4] + b"ABCD"]
)
def test_what_is_no_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidMessage, match="cannot be decompressed as gzip") as refusal:
        decompressed(body, 100, lambda held: None)
    assert (refusal.value.code, refusal.value.param) == ("malformed_body", "body")


def test_a_bomb_is_refused_one_step_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(200 * MIB), 9)
    held: list[int] = []
    with pytest.raises(InvalidMessage) as refusal:
        decompressed(bomb, 2 * MIB, held.append)
    assert refusal.value.code == "body_too_large"
    assert max(held) <= 2 * MIB


def test_many_empty_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_content, "MAX_MEMBERS", 3)
    assert decompressed(gzip.compress(b"") * 3, 100, lambda held: None) == b""
    with pytest.raises(InvalidMessage, match="more than 3 members"):
        decompressed(gzip.compress(b"") * 4, 100, lambda held: None)


@pytest.mark.parametrize(
    "content", [Content(), Content("books"), Content(None, gzip=True), Content("books", gzip=True)]
)
async def test_every_content_gives_the_same_documents_and_holds_their_bytes(
    content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_body, "WHOLE_BYTES", 10)
    documents = [{"id": n, "text": f"text {n}"} for n in range(5)]
    body = lines_of(documents)
    if content.collection is None:
        body = json.dumps({"documents": documents, "collection": "books"}).encode()
    if content.gzip:
        body = gzip.compress(body)
    lease = MemoryBudget(100 * MIB, "A_SETTING").lease()
    collection, found = await IngestReader(LIMITS, max_bytes=MIB, timeout=30).read(body, lease, content)
    assert collection == "books"
    assert [each.doc_id for each in found] == list("01234")


async def test_a_body_that_needs_more_memory_than_there_is_left_is_refused() -> None:
    lines = b'{"text":"x"}' + b" " * (8 * MIB)
    lease = MemoryBudget(MIB, "A_SETTING").lease()
    with pytest.raises(OverBudget):
        await IngestReader(LIMITS, max_bytes=16 * MIB, timeout=30).read(
            gzip.compress(lines), lease, Content("books", gzip=True)
        )
