"""The rules of requests; each error names the field and the limit."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.records.documents import NewDocument
from tandem_gateway.records.metadata import Metadata
from tandem_gateway.use_cases.commands import SearchCommand, SubmittedDocument
from tandem_gateway.use_cases.validation import (
    RequestLimits,
    check_collection,
    check_count,
    check_document_id,
    check_new_document_id,
    check_search,
    content_hash,
    new_document,
)
from tests.support.search_fixtures import command

LIMITS = RequestLimits(documents=3, text_chars=20, metadata_bytes=40, query_chars=10, top_k=50)


def submitted(text: str, doc_id: str | None = None, metadata: Metadata | None = None) -> SubmittedDocument:
    return SubmittedDocument(text, doc_id, metadata or {})


def documents(*inputs: SubmittedDocument, limits: RequestLimits = LIMITS) -> list[NewDocument]:
    check_count(len(inputs), limits)
    return [new_document(given, f"documents[{place}]", limits) for place, given in enumerate(inputs)]


def refused(*inputs: SubmittedDocument) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        documents(*inputs)
    return caught.value


@pytest.mark.parametrize("name", ["a", "A9", "0", "a" * 64, "books-2024_v1.0"])
def test_a_collections_name_is_taken(name: str):
    check_collection(name)
    check_search(command("q", collection=name), LIMITS)


@pytest.mark.parametrize("name", ["", "a" * 65, ".a", "_a", "-a", "a/b", "a b", "ä", "a\n", "..", "a\x00"])
def test_every_request_refuses_an_invalid_collection_name(name: str):
    for attempt in (
        lambda: check_collection(name),
        lambda: check_search(command("q", collection=name), LIMITS),
    ):
        with pytest.raises(InvalidRequest, match="64") as caught:
            attempt()
        assert (caught.value.param, caught.value.code) == ("collection", "invalid_field")


@pytest.mark.parametrize("doc_id", ["a", "a/b c", "ü" * 256, " ", "\N{GRINNING FACE}"])
def test_an_id_is_any_text_without_control_characters(doc_id: str):
    assert documents(submitted("t", doc_id))[0].doc_id == doc_id


@pytest.mark.parametrize(
    ("doc_id", "code"),
    [
        ("", "invalid_field"),
        ("a" * 257, "limit_exceeded"),
        ("a\x00", "invalid_field"),
        ("a\n", "invalid_field"),
        ("\x7f", "invalid_field"),
    ],
)
def test_an_invalid_id_is_refused_with_the_documents_place(doc_id: str, code: str):
    error = refused(submitted("t"), submitted("t", doc_id))
    assert (error.param, error.code) == ("documents[1].id", code)
    with pytest.raises(InvalidRequest):
        check_document_id(doc_id, "id")


LEAVING_IDS = [
    ".",
    "..",
    "../x",
    "a/../b",
    "a/..",
    "./a",
    "a/.",
    "..\\x",
    "a\\..\\b",
    "%2e%2E",
    "..%2fx",
    "a%5c..",
    "%2e",
]


@pytest.mark.parametrize("doc_id", LEAVING_IDS)
def test_an_id_that_leaves_its_place_in_a_url_is_refused_for_new_documents_only(doc_id: str):
    error = refused(submitted("t"), submitted("t", doc_id))
    assert (error.param, error.code) == ("documents[1].id", "invalid_field")
    assert "'..'" in str(error)
    with pytest.raises(InvalidRequest):
        check_new_document_id(doc_id, "id")
    check_document_id(doc_id, "id")


@pytest.mark.parametrize(
    "doc_id", ["...", "a..b", ".a", "a.", "..a/b..", "a/.../b", "v1.2/..x", "%2ea", "\\", "/", "//", "a/"]
)
def test_an_id_with_dots_that_stays_in_its_place_is_taken(doc_id: str):
    assert documents(submitted("t", doc_id))[0].doc_id == doc_id


def test_documents_without_an_id_get_different_ones():
    first, second = documents(submitted("t"), submitted("t"))
    assert first.doc_id != second.doc_id
    assert len(first.doc_id) == 32


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "invalid_field", "empty"),
        (" \n\t\u3000", "invalid_field", "white space"),
        ("a\x00b", "invalid_field", "NUL"),
        ("a" * 21, "limit_exceeded", "20"),
    ],
)
def test_an_invalid_text_is_refused_with_the_documents_place(text: str, code: str, said: str):
    error = refused(submitted("t"), submitted(text))
    assert (error.param, error.code) == ("documents[1].text", code)
    assert said in str(error)
    assert "documents[1].text" in str(error)


def test_a_text_of_the_limit_is_taken_and_kept_as_it_is():
    text = " ü\n" + "\N{GRINNING FACE}" * 17
    assert documents(submitted(text))[0].text == text


@pytest.mark.parametrize(("count", "code"), [(0, "invalid_field"), (4, "limit_exceeded")])
def test_too_few_and_too_many_documents_are_refused(count: int, code: str):
    error = refused(*[submitted("t")] * count)
    assert (error.param, error.code) == ("documents", code)
    assert "1 to 3" in str(error)


def test_metadata_over_its_bytes_is_refused():
    assert documents(submitted("t", metadata={"k": "x" * 32}))[0].metadata == '{"k":"' + "x" * 32 + '"}'
    error = refused(submitted("t", metadata={"k": "x" * 33}))
    assert (error.param, error.code) == ("documents[0].metadata", "limit_exceeded")
    assert "40 bytes" in str(error)
    assert refused(submitted("t", metadata={"k": "ü" * 20})).code == "limit_exceeded"


METADATA_WITH_NUL: list[Metadata] = [
    {"k": "a\x00"}, {"k\x00": 1}, {"k": ["\x00"]}, {"k": "\\\x00"}, {"k": {"n": ["\x00"]}}, {"k": {"n": {"\x00": 1}}},
]  # fmt: skip


@pytest.mark.parametrize("metadata", METADATA_WITH_NUL)
def test_nul_in_metadata_is_refused(metadata: Metadata):
    error = refused(submitted("t", metadata=metadata))
    assert (error.param, error.code) == ("documents[0].metadata", "invalid_field")
    assert "NUL" in str(error)


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "C:\\u0000"])
def test_a_backslash_and_u0000_spelt_out_is_a_text_like_any_other(text: str):
    (document,) = documents(submitted("t", metadata={"k": text}))
    assert json.loads(document.metadata) == {"k": text}


def test_metadata_keeps_every_value_and_the_order_of_keys():
    metadata: Metadata = {"z": 1, "a": [], "f": 1.0, "n": None, "i": 10**25}
    (document,) = documents(submitted("t", metadata=metadata), limits=LIMITS_WIDE)
    assert json.loads(document.metadata) == metadata
    assert list(json.loads(document.metadata)) == ["z", "a", "f", "n", "i"]


LIMITS_WIDE = RequestLimits(documents=3, text_chars=1000, metadata_bytes=10_000, query_chars=10, top_k=50)


@pytest.mark.parametrize(
    ("search", "param", "code", "said"),
    [
        (command(""), "query", "invalid_field", "empty"),
        (command("  "), "query", "invalid_field", "white space"),
        (command("a" * 11), "query", "limit_exceeded", "10"),
        (command("a\x00"), "query", "invalid_field", "NUL"),
        (command("q", 0), "top_k", "limit_exceeded", "1 to 50"),
        (command("q", -1), "top_k", "limit_exceeded", "1 to 50"),
        (command("q", 51), "top_k", "limit_exceeded", "1 to 50"),
        (command("q", 10**4000), "top_k", "limit_exceeded", "1 to 50"),
    ],
)
def test_a_search_out_of_bounds_is_refused(search: SearchCommand, param: str, code: str, said: str):
    with pytest.raises(InvalidRequest) as caught:
        check_search(search, LIMITS)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert said in str(caught.value)


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
metadata_values = (
    plain | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
) | st.lists(plain, max_size=3)
metadatas = st.dictionaries(plain, metadata_values, max_size=4)
texts = plain.filter(lambda text: bool(text.strip()))


def hash_of(text: str, metadata: Metadata) -> bytes:
    (document,) = documents(submitted(text, metadata=metadata), limits=LIMITS_WIDE)
    return document.content_hash


@given(texts, metadatas)
def test_the_content_hash_does_not_depend_on_the_order_of_keys(text: str, metadata: Metadata):
    turned = dict(reversed(metadata.items()))
    assert hash_of(text, metadata) == hash_of(text, turned)


@given(texts, metadatas, texts, metadatas)
def test_the_content_hash_differs_when_anything_else_does(text: str, one: Metadata, other_text: str, other: Metadata):
    same = text == other_text and msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
    assert (hash_of(text, one) == hash_of(other_text, other)) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [({"k": 1}, {"k": 1.0}), ({"k": 1}, {"k": True}), ({"k": "1"}, {"k": 1}), ({"k": None}, {}), ({"k": []}, {})],
)
def test_the_content_hash_tells_types_apart(one: Metadata, other: Metadata):
    assert hash_of("t", one) != hash_of("t", other)


def test_the_content_hash_knows_where_the_text_ends():
    assert content_hash("ab", b"c") != content_hash("a", b"bc")
    assert len(content_hash("", b"")) == 16
