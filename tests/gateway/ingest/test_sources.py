"""Sources: what a list may have, and what is compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.records.sources import SourceDifference, difference
from tandem_gateway.use_cases.commands import SubmittedDocument
from tandem_gateway.use_cases.idempotency import idempotency_key
from tandem_gateway.use_cases.sources import MAX_LISTED, Sources, listed
from tandem_gateway.use_cases.validation import RequestLimits, new_document
from tests.support.stores import LIMITS, ingest

REQUEST = RequestLimits(documents=7, text_chars=100, metadata_bytes=60, query_chars=30, top_k=9)
IDS = st.sampled_from("abcdef")


@given(st.dictionaries(IDS, st.sampled_from("12")), st.dictionaries(IDS, st.sampled_from(["1", "2", None])))
def test_after_what_is_told_is_done_the_store_has_what_is_listed(now: dict[str, str], held: dict[str, str | None]):
    found = difference(now, held)
    after = {doc_id: given for doc_id, given in held.items() if doc_id not in found.deleted}
    after |= {doc_id: now[doc_id] for doc_id in [*found.missing, *found.changed]}
    assert after == now
    assert not {*found.missing} & {*held}
    assert {*found.changed} <= {*held}
    assert difference(now, after) == SourceDifference([], [], [])


@pytest.mark.parametrize(
    ("entries", "param"),
    [
        ([("", "1")], "documents[0].id"),
        ([("a", "1"), ("x" * 257, "1")], "documents[1].id"),
        ([("a", "1"), ("b", "")], "documents[1].hash"),
        ([("a", "x" * 129)], "documents[0].hash"),
        ([("a", "a b")], "documents[0].hash"),
        ([("a", "1"), ("b", "1"), ("a", "2")], "documents[2].id"),
        ([("a", "1")] * (MAX_LISTED + 1), "documents"),
    ],
)
def test_a_list_that_is_not_valid_names_the_field(entries: list[tuple[str, str]], param: str):
    with pytest.raises(InvalidRequest) as caught:
        listed(entries, len(entries))
    assert caught.value.param == param


def submitted(source: str | None, given: str | None) -> SubmittedDocument:
    return SubmittedDocument("t", "a", {}, source=source, source_hash=given)


@pytest.mark.parametrize(
    ("source", "given", "param"),
    [("../x", None, "source"), ("", "1", "source"), ("s", "", "hash"), ("s", "x" * 129, "hash"), (None, "1", "hash")],
)
def test_a_document_of_a_bad_source_names_the_field(source: str | None, given: str | None, param: str):
    with pytest.raises(InvalidRequest) as caught:
        new_document(submitted(source, given), "documents[3]", REQUEST)
    assert caught.value.param == f"documents[3].{param}"


def test_ingests_of_other_sources_are_other_ingests():
    made = [
        new_document(submitted(*each), "documents[0]", REQUEST)
        for each in ((None, None), ("s", None), ("s", "1"), ("s", "2"), ("s1", None))
    ]
    assert len({idempotency_key("key", "books", [each]).request_hash for each in made}) == len(made)


async def test_who_follows_is_notified_of_deletions_only():
    store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
    await ingest(store, [new_document(submitted("s", "1"), "documents[0]", REQUEST)])
    changes: list[str] = []
    sources = Sources(store, lambda: changes.append("changed"))
    assert await sources.synchronize("default", "s", {"a": "2", "b": "1"}) == SourceDifference(["b"], ["a"], [])
    assert changes == []
    assert await sources.synchronize("default", "s", {}) == SourceDifference([], [], ["a"])
    assert changes == ["changed"]


@pytest.mark.parametrize(("collection", "source", "param"), [("-", "s", "collection"), ("c", "-", "source")])
async def test_a_bad_name_is_told(collection: str, source: str, param: str):
    store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
    with pytest.raises(InvalidRequest) as caught:
        await Sources(store, lambda: None).synchronize(collection, source, {})
    assert caught.value.param == param
