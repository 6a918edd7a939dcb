"""The gateway's inputs: bodies of an ingest, a search and a change of the traffic, and query parameters."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.decoding import InvalidMessage, decode_json
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http import ingest_body
from tandem_gateway.http.body import caller_timeout, query_parameters, read_body_of
from tandem_gateway.http.ingest_body import read_ingest
from tandem_gateway.http.messages import ReceivedSearch, search_command
from tandem_gateway.records.documents import NewDocument
from tandem_gateway.records.job_documents import SkippedDocument
from tandem_gateway.use_cases import validation
from tandem_gateway.use_cases.validation import RequestLimits, check_search
from tandem_runtime import json_slices
from tests.fuzz.inputs import (
    as_json,
    assert_cost_is_linear,
    assert_names_its_field,
    bounded,
    hostile,
    outcome,
    thoroughly,
)
from tests.support.fakes import run

pytestmark = pytest.mark.fuzz

LIMITS = RequestLimits(documents=5000, text_chars=2000, metadata_bytes=500, query_chars=100, top_k=10)
REFUSALS = (InvalidMessage, InvalidRequest)
INGESTS = as_json(
    {
        "documents": [
            {"id": "a/b", "text": "an é text", "metadata": {"k": 1.25, "s": 2, "t": ["x", "y"], "n": None, "b": True}}
        ]
    },
    {"documents": [{"text": "[{,"}, {"text": 'b"\\', "id": None}, {"text": "c", "metadata": {}}], "collection": "c-1"},
    {"documents": [{"text": "a"}, {"text": " ", "id": "b"}, {"text": "c", "x": {}}, 7], "on_error": "skip"},
    {"collection": "c", "documents": [{"metadata": {"k": 0.1, "i": 12345678901234567890}, "text": "x"}]},
)


def ingest(body: bytes, whole_bytes: int) -> tuple[str, list[NewDocument], Sequence[SkippedDocument] | None]:
    with (
        patch.object(ingest_body, "WHOLE_BYTES", whole_bytes),
        patch.object(json_slices, "_BLOCK_BYTES", 64),
        patch.object(validation, "new_document_id", lambda: "an-id"),
    ):
        collection, documents = read_ingest(body, LIMITS)
        return collection, list(documents), documents.skipped


@thoroughly
@given(body=hostile(INGESTS))
def test_an_ingest_reads_the_same_as_a_whole_and_in_parts(body: bytes) -> None:
    whole, error = outcome(lambda: ingest(body, 1 << 20), *REFUSALS)
    parts, refused = outcome(lambda: ingest(body, -1), *REFUSALS)
    assert whole == parts
    for each in (error, refused):
        if each is not None:
            assert_names_its_field(each)
    for document in whole[1] if whole else ():
        msgspec.json.decode(document.metadata)
        document.text.encode()


@bounded
@given(
    before=st.sampled_from(
        [
            b'{"documents":[',
            b'{"documents":[{"text":"',
            b'{"documents":[{"text":"x","metadata":{"',
            b'{"documents":',
            b"[",
        ]
    ),
    part=st.sampled_from(
        [
            b'{"text":"x"},',
            b'{"text":""},',
            b'k":1,"',
            b'k":{},"',
            b'k":1.5,"',
            b"\\ud800",
            b"[",
            b'"',
            b"\\",
            b"9",
            b"]",
        ]
    )
    | st.binary(min_size=1, max_size=6),
    after=st.sampled_from([b'{"text":"x"}]}', b'"}]}', b'":1}}]}', b"]}", b""]),
    whole_bytes=st.sampled_from([-1, 1 << 20]),
)
def test_the_cost_of_an_ingest_grows_no_faster_than_its_length(
    before: bytes, part: bytes, after: bytes, whole_bytes: int
) -> None:
    assert_cost_is_linear(lambda times: ingest(before + part * times + after, whole_bytes), *REFUSALS)


JUNK = st.sampled_from(["", "", " ", "\ufeff", ",", "{}", "null", "\x00", "]", "}", '"', "\\"])
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,25})?", fullmatch=True)


@thoroughly
@given(parts=st.lists(st.tuples(JUNK, NUMBERS, JUNK), min_size=1, max_size=3))
def test_numbers_and_text_around_documents_are_read_alike(parts: list[tuple[str, str, str]]) -> None:
    documents = ",".join(f'{a}{{"text": "x", "metadata": {{"k": 0.5, "n": {number}}}}}{b}' for a, number, b in parts)
    body = f'{{"documents": [{documents}]}}'.encode()
    whole, _ = outcome(lambda: ingest(body, 1 << 20), *REFUSALS)
    sliced, _ = outcome(lambda: ingest(body, -1), *REFUSALS)
    assert whole == sliced
    for document, (_, number, _) in zip(whole[1] if whole else (), parts, strict=False):
        found = re.search('"n":([^,}]*)', document.metadata)
        assert found
        assert same_number(found[1], number)


def same_number(one: str, other: str) -> bool:
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return one == other


@thoroughly
@given(
    body=hostile(
        as_json(
            {"query": "a café", "top_k": 3, "collection": "books", "mode": "lexical"},
            {"query": "x", "filter": {"a.b": {"$in": [1.5, "é"]}}},
        )
    )
)
def test_a_search_is_read_or_refused_by_name(body: bytes) -> None:
    decoder = msgspec.json.Decoder(ReceivedSearch)

    def read() -> ReceivedSearch:
        request = decode_json(body, decoder)
        check_search(search_command(request), LIMITS)
        return request

    _, error = outcome(read, *REFUSALS)
    if error is not None:
        assert_names_its_field(error)


@thoroughly
@given(query=hostile([b"id=a%20b", b"id=a&id=b", b"id=%ff", b"id=" + b"x" * 300, b"other=1;id=2"]))
def test_the_parameters_of_a_query_are_read_or_refused_by_name(query: bytes) -> None:
    _, error = outcome(lambda: query_parameters({"query_string": query}, "id"), *REFUSALS)
    if error is not None:
        assert_names_its_field(error)


HEADERS = [b"application/json", b"application/json; charset=utf-8", b"text/plain", b"gzip", b"identity", b"1000", b""]


@bounded
@given(
    names=st.lists(
        st.sampled_from([b"content-type", b"content-encoding", b"x-request-timeout-ms"]), unique=True, max_size=3
    ),
    data=st.data(),
)
def test_the_headers_of_a_request_are_read_or_refused_by_name(names: list[bytes], data: st.DataObject) -> None:
    headers = [(name, data.draw(hostile(HEADERS))) for name in names]
    scope = {"headers": headers, "extensions": {}}

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    for read in (lambda: caller_timeout(scope), lambda: run(lambda: read_body_of(scope, receive, 100))):
        _, error = outcome(read, *REFUSALS)
        if error is not None:
            assert_names_its_field(error)
