"""Patches of metadata: the examples of RFC 7396, exact numbers, limits, and equality with an ingest of the result."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.ingest_body import read_ingest
from tandem_gateway.http.metadata_patch import merged, patched, read_patch
from tandem_gateway.records.documents import NewDocument, StoredContent
from tandem_gateway.use_cases.validation import RequestLimits
from tests.gateway.filters.strategies import METADATA

LIMITS = RequestLimits(documents=7, text_chars=100, metadata_bytes=1 << 16, query_chars=30, top_k=9)


def ingested(metadata: str, limits: RequestLimits = LIMITS) -> NewDocument:
    """Return the document that an ingest of this metadata stores."""
    _, (document,) = read_ingest(b'{"documents":[{"id":"a","text":"t","metadata":%s}]}' % metadata.encode(), limits)
    return document


def after(metadata: str, patch: str, limits: RequestLimits = LIMITS) -> NewDocument:
    """Return the stored document after a patch."""
    before = StoredContent("a", "t", ingested(metadata).metadata, "text")
    return patched(before, read_patch(patch.encode()), limits)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], {"a": "b"}, {"a": "b"}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_rfc(target: Any, patch: dict[str, Any], result: dict[str, Any]):
    before = json.dumps([target, patch])
    assert merged(target, patch) == result
    assert json.dumps([target, patch]) == before


@given(METADATA, METADATA)
def test_the_result_is_what_an_ingest_of_the_merged_metadata_stores(metadata: dict[str, Any], patch: dict[str, Any]):
    found = after(json.dumps(metadata), json.dumps(patch))
    assert found == ingested(json.dumps(merged(metadata, patch)))
    again = patched(StoredContent("a", "t", found.metadata, "text"), read_patch(json.dumps(patch).encode()), LIMITS)
    assert again == found


@given(METADATA)
def test_an_empty_patch_changes_nothing(metadata: dict[str, Any]):
    assert after(json.dumps(metadata), "{}") == ingested(json.dumps(metadata))


@pytest.mark.parametrize(
    "number", ["1.50", "12345678901234567890.125", "1e300", "123456789012345678901234567890", "-0.0"]
)
def test_numbers_keep_their_digits(number: str):
    metadata = f'{{"a":{number},"b":1}}'
    found = after(metadata, '{"b":null}')
    assert found == ingested(f'{{"a":{number}}}')
    assert after(f'{{"b":{number}}}', f'{{"a":{number},"b":null}}') == found
    assert after(metadata, "{}") == ingested(metadata)


def test_metadata_that_becomes_too_large_is_refused_with_its_limit():
    limits = dataclasses.replace(LIMITS, metadata_bytes=20)
    assert after('{"a":"12345"}', '{"b":12}', limits).metadata == '{"a":"12345","b":12}'
    with pytest.raises(InvalidRequest, match="merged metadata has 21 bytes of JSON, at most 20") as raised:
        after('{"a":"12345"}', '{"b":123}', limits)
    assert (raised.value.param, raised.value.code) == ("metadata", "limit_exceeded")


@pytest.mark.parametrize(
    ("patch", "param"),
    [
        ("[]", "metadata"),
        ("null", "metadata"),
        ('{"a":[true]}', "metadata.a"),
        ('{"a":{"b":{"c":{"d":{"e":null}}}}}', "metadata.a.b.c.d"),
    ],
)
def test_a_patch_that_metadata_cannot_have_is_refused_with_its_place(patch: str, param: str):
    with pytest.raises(InvalidMessage) as raised:
        read_patch(patch.encode())
    assert raised.value.param is not None
    assert raised.value.param.startswith(param)


def test_a_nul_character_is_refused():
    with pytest.raises(InvalidRequest, match="NUL"):
        after("{}", '{"a":"\\u0000"}')
