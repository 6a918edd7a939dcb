"""JSON lines: the same documents as JSON, and the same errors."""

import json
from typing import Any

import pytest

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http import ingest_body
from tandem_gateway.http.ingest_body import IngestReader, read_lines
from tandem_gateway.http.ingest_content import Content, content_of
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.request_id import Scope

LIMITS = RequestLimits(documents=5, text_chars=50, metadata_bytes=100, query_chars=100, top_k=10)
MIB = 1 << 20


def lines_of(documents: list[Any], separator: str = "\n") -> bytes:
    return separator.join(json.dumps(each) for each in documents).encode()


def scope(content_type: str, query: str = "") -> Scope:
    return {"type": "http", "headers": [(b"content-type", content_type.encode())], "query_string": query.encode()}


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
    assert content_of(scope("application/json")) == Content()
    assert content_of(scope(ndjson)) == Content("default")
    assert content_of(scope(f"{ndjson}; charset=utf-8", "collection=books")) == Content("books")
    for refused in (
        scope("text/plain"),
        scope(f"{ndjson}; charset=latin-1"),
    ):
        with pytest.raises(InvalidMessage):
            content_of(refused)
    for query in ("x=1", "collection=a&collection=b"):
        for media_type in (ndjson, "application/json"):
            with pytest.raises(InvalidRequest):
                content_of(scope(media_type, query))
    with pytest.raises(InvalidRequest, match="collection: is a field of the body"):
        content_of(scope("application/json", "collection=books"))


@pytest.mark.parametrize("content", [Content(), Content("books")])
async def test_every_content_gives_the_same_documents_and_holds_their_bytes(
    content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_body, "WHOLE_BYTES", 10)
    documents = [{"id": n, "text": f"text {n}"} for n in range(5)]
    body = lines_of(documents)
    if content.collection is None:
        body = json.dumps({"documents": documents, "collection": "books"}).encode()
    lease = MemoryBudget(100 * MIB, "A_SETTING").lease()
    collection, found = await IngestReader(LIMITS, timeout=30).read(body, lease, content)
    assert collection == "books"
    assert [each.doc_id for each in found] == list("01234")
