"""The names that the store has for the holder of a filter, and the fields that documents get."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tandem_gateway.access.document_filter import DocumentFilter, make_filter, read_filter
from tandem_gateway.access.principal import check_everything, check_use, make_principal
from tandem_gateway.access.stamping import stamp, stamped
from tandem_gateway.errors import Forbidden, InvalidRequest
from tandem_gateway.filters.tree import EVERYTHING
from tandem_gateway.records.documents import NewDocument, NewDocuments
from tandem_gateway.records.job_documents import SkippedDocument
from tandem_gateway.use_cases.commands import SubmittedDocument
from tandem_gateway.use_cases.validation import MAX_ID_CHARS, RequestLimits, check_new_document_id, new_document
from tests.gateway.filters.strategies import METADATA

NAMES = "~VQM0wakHFfzHLqJYvktJyg~"
JOBS = "49b737fd3db96fd6"
LIMITS = RequestLimits(10, 1000, 100_000, 100, 10)
TENANT = make_filter({"tenant": "a"})
EQUALITIES = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=9).filter(
        lambda name: not name.startswith("$")
    ),
    st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.text("ab", max_size=3)),
    min_size=1,
    max_size=3,
)


def submitted(metadata: dict[str, Any], doc_id: str | None = "mat", text: str = "words") -> NewDocument:
    return new_document(SubmittedDocument(text, doc_id, metadata), "documents[0]", LIMITS)


@given(EQUALITIES, st.data())
def test_a_filter_has_one_form_and_names_of_its_own(equalities: dict[str, Any], data: st.DataObject):
    made = make_filter(equalities)
    shuffled = data.draw(st.permutations(list(equalities.items())))
    assert make_filter(dict(shuffled)) == made == read_filter(json.dumps(equalities))
    assert made.namespace == make_filter(dict(shuffled)).namespace
    other = data.draw(EQUALITIES)
    if make_filter(other).json != made.json:
        assert make_filter(other).namespace.names != made.namespace.names
        assert make_filter(other).namespace.jobs != made.namespace.jobs


def test_the_names_of_a_filter_never_change():
    """The store has them: another release must find its documents."""
    assert TENANT.namespace.names == NAMES
    assert TENANT.namespace.jobs == JOBS


@given(EQUALITIES, METADATA)
def test_a_stamped_document_matches_and_is_that_of_an_ingest_with_the_whole_metadata(
    equalities: dict[str, Any], metadata: dict[str, Any]
):
    of_key = make_filter(equalities)
    assume(not set(equalities) & {name.partition(".")[0] for name in metadata})
    made = stamped(submitted(metadata), "documents[0]", of_key)
    assert of_key.allows(made.metadata)
    assert of_key.shown(made.doc_id) == "mat"
    whole = submitted(json.loads(made.metadata))
    assert whole.content_hash == made.content_hash
    again = stamped(submitted(json.loads(made.metadata)), "documents[0]", of_key)
    assert (again.metadata, again.content_hash) == (made.metadata, made.content_hash)


def test_numbers_keep_their_digits():
    document = new_document(
        SubmittedDocument("words", "mat", {"n": 0.1}, {"n": msgspec.Raw(b"0.10000000000000000000001")}),
        "documents[0]",
        LIMITS,
    )
    made = stamped(document, "documents[0]", TENANT)
    assert made.metadata == '{"n":0.10000000000000000000001,"tenant":"a"}'


@pytest.mark.parametrize("metadata", [{"tenant": "b"}, {"tenant": None}, {"tenant": ["a"]}, {"tenant": {"x": "a"}}])
def test_another_value_is_refused_and_not_told(metadata: dict[str, Any]):
    with pytest.raises(InvalidRequest) as refused:
        stamped(submitted(metadata), "documents[3]", TENANT)
    assert refused.value.param == "documents[3].metadata.tenant"


def test_a_nested_field_is_found_as_a_filter_finds_it():
    of_key = make_filter({"a.b": 1})
    assert stamped(submitted({"a": {"b": 1}}), "documents[0]", of_key).metadata == '{"a":{"b":1}}'
    assert stamped(submitted({"a": {"c": 1}}), "documents[0]", of_key).metadata == '{"a":{"c":1},"a.b":1}'
    with pytest.raises(InvalidRequest):
        stamped(submitted({"a": {"b": 2}}), "documents[0]", of_key)


def test_the_longest_id_is_one_that_the_store_may_have():
    longest = "x" * TENANT.most_chars
    check_new_document_id(stamped(submitted({}, longest), "documents[0]", TENANT).doc_id, "id")
    with pytest.raises(InvalidRequest) as refused:
        stamped(submitted({}, longest + "x"), "documents[7]", TENANT)
    assert (refused.value.param, refused.value.code) == ("documents[7].id", "limit_exceeded")
    assert str(TENANT.most_chars) in str(refused.value)
    assert TENANT.candidates("x" * MAX_ID_CHARS) == ["x" * MAX_ID_CHARS]


def test_a_holder_names_its_documents_without_their_prefix():
    assert TENANT.candidates("mat") == [f"{NAMES}mat", "mat"]
    assert TENANT.candidates(f"{NAMES}mat") == [f"{NAMES}{NAMES}mat"]


def test_documents_that_contradict_the_filter_are_skipped_if_the_ingest_skips():
    earlier = SkippedDocument(1, None, "documents[1].text", "no text")
    documents = NewDocuments(
        [submitted({}, "one"), submitted({"tenant": "b"}, "two"), submitted({}, "three")], skipped=[earlier]
    )
    stamp(documents, TENANT)
    assert [TENANT.shown(document.doc_id) for document in documents] == ["one", "three"]
    assert documents.skipped is not None
    assert [(each.index, each.param) for each in documents.skipped] == [
        (1, "documents[1].text"), (2, "documents[2].metadata.tenant"),
    ]  # fmt: skip
    with pytest.raises(InvalidRequest):
        stamp(NewDocuments([submitted({"tenant": "b"})], skipped=[]), TENANT)
    with pytest.raises(InvalidRequest):
        stamp(NewDocuments([submitted({}), submitted({"tenant": "b"})]), TENANT)


def test_the_filter_is_part_of_every_condition():
    narrowed = TENANT.narrowed(make_filter({"page": 1}).condition)
    assert TENANT.narrowed(None) == TENANT.narrowed(EVERYTHING) == TENANT.condition
    for metadata, allowed in {'{"tenant":"a","page":1}': True, '{"tenant":"a"}': False, '{"page":1}': False}.items():
        assert DocumentFilter("", {}, narrowed, TENANT.namespace).allows(metadata) == allowed


def test_a_holder_of_a_filter_administers_nothing():
    principal = make_principal("id", "name", "admin", ("*",), TENANT)
    for check in (
        lambda: check_use(principal, "admin", "default"),
        lambda: check_everything(principal, "admin"),
        lambda: check_everything(principal, "search"),
    ):
        with pytest.raises(Forbidden) as refused:
            check()
        assert "without a filter" in str(refused.value)
    check_use(principal, "ingest", "default")
