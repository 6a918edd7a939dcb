"""The behaviour that all stores share for sources: what differs, what is deleted, and which version counts."""

import dataclasses

import pytest

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.filters.tree import EVERYTHING
from tandem_gateway.records.documents import NewDocument
from tandem_gateway.records.sources import SourceDifference
from tests.gateway.ports.backends import Store
from tests.gateway.ports.steps import counts
from tests.support.stores import NOW, document, embed_pending, ingest, pending_documents

NOTHING = SourceDifference([], [], [])


def held(doc_id: str, given: str | None = "1", source: str | None = "shelf", text: str | None = None) -> NewDocument:
    return dataclasses.replace(document(doc_id, text), source=source, source_hash=given)


async def sync(store: Store, listed: dict[str, str], source: str = "shelf", name: str = "default") -> SourceDifference:
    found = await store.synchronize(name, source, listed)
    return SourceDifference(found.missing, found.changed, sorted(found.deleted))


async def test_what_is_missing_changed_and_deleted_is_told(store: Store):
    await ingest(store, [held("a"), held("b"), held("c"), held("d")])
    assert await sync(store, {"new": "1", "a": "1", "c": "2"}) == SourceDifference(["new"], ["c"], ["b", "d"])
    assert await counts(store) == (2, 0)
    assert await store.document("default", "b") is None
    assert await sync(store, {"a": "1", "c": "1"}) == NOTHING


async def test_other_documents_collections_and_sources_stay(store: Store):
    await ingest(store, [held("a"), held("b", source="other"), document("c")])
    await ingest(store, [held("a"), held("d")], job_id="books", collection="books")
    assert await sync(store, {}) == SourceDifference([], [], ["a"])
    assert await sync(store, {"b": "1", "c": "1"}) == SourceDifference(["b", "c"], [], [])
    assert await counts(store) == (2, 0)
    assert await counts(store, "books") == (2, 0)
    assert await sync(store, {"a": "1"}, name="nowhere") == SourceDifference(["a"], [], [])
    assert await counts(store, "nowhere") == (0, 0)


async def test_a_document_without_a_hash_is_changed(store: Store):
    await ingest(store, [held("a", None)])
    assert await sync(store, {"a": "1"}) == SourceDifference([], ["a"], [])


async def test_documents_that_wait_count_and_are_deleted_with_their_jobs_told(store: Store):
    await store.accept("job", "default", [held("a"), held("b")], NOW)
    assert await sync(store, {"a": "1"}) == SourceDifference([], [], ["b"])
    assert await counts(store) == (0, 1)
    page = await store.job_documents("job", 0, 10, None)
    assert page is not None
    assert [each.status for each in page.documents] == ["pending", "deleted"]


async def test_the_newest_version_counts(store: Store):
    await ingest(store, [held("a", "1"), held("b", "1")])
    newer = [held("a", "2", text="newer"), held("b", "2", source="other", text="newer")]
    await store.accept("newer", "default", newer, NOW)
    assert await sync(store, {"a": "2"}) == NOTHING
    assert await counts(store) == (2, 2)
    for waiting in await pending_documents(store):
        await store.queue.fail(waiting.passage_id, "no")
    assert await sync(store, {"a": "2"}) == SourceDifference([], ["a"], ["b"])


async def test_an_ingest_sets_the_source_of_documents_that_it_leaves_unchanged(store: Store):
    await ingest(store, [document("a"), held("b"), held("c")])
    await store.accept("waits", "default", [held("d", None)], NOW)
    again = [held("a", "7"), held("b", "8"), document("c"), held("d", "9")]
    same = await store.accept("again", "default", again, NOW)
    assert (same.unchanged, same.total) == (3, 4)
    assert await sync(store, {"a": "7", "b": "8", "d": "9"}) == NOTHING
    assert await counts(store) == (3, 1)
    assert await embed_pending(store) == 1
    assert await sync(store, {"a": "7", "b": "8", "d": "9"}) == NOTHING


async def test_new_metadata_alone_keeps_or_sets_the_source(store: Store):
    await ingest(store, [held("a")])
    await store.change_metadata("default", "a", lambda stored: document("a", metadata='{"n":1}'))
    assert await sync(store, {"a": "1"}) == NOTHING
    newer = dataclasses.replace(document("a", metadata='{"n":2}'), source="shelf", source_hash="2")
    await store.accept("newer", "default", [newer], NOW)
    assert await sync(store, {"a": "2"}) == NOTHING


async def test_a_document_that_is_deleted_or_whose_collection_is_belongs_to_no_source(store: Store):
    await ingest(store, [held("a")])
    await ingest(store, [held("a")], job_id="books", collection="books")
    await store.delete("default", "a")
    await store.delete_collection("books")
    await ingest(store, [document("a")], job_id="again")
    await ingest(store, [document("a")], job_id="books again", collection="books")
    for name in ("default", "books"):
        assert await sync(store, {}, name=name) == NOTHING


async def test_too_many_deletions_are_refused_and_none_is_done(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tandem_gateway.adapters.limits.MAX_SOURCE_DELETIONS", 2)
    await ingest(store, [held(doc_id) for doc_id in "abcd"])
    with pytest.raises(InvalidRequest, match=r"3 documents of the source are not listed .* at most 2") as caught:
        await sync(store, {"a": "1"})
    assert (caught.value.param, caught.value.code) == ("documents", "limit_exceeded")
    assert await counts(store) == (4, 0)
    assert await sync(store, {"a": "1", "b": "1"}) == SourceDifference([], [], ["c", "d"])


async def test_a_document_shows_its_source_and_its_hash_alone_and_in_a_list(store: Store):
    with_both = dataclasses.replace(document("a"), source="shelf", source_hash="1")
    without_hash = dataclasses.replace(document("b"), source="shelf")
    await store.accept("job", "default", [with_both, without_hash, document("c")], NOW)
    page = await store.page("default", "", 10, EVERYTHING)
    assert page is not None
    expected = {"a": ("shelf", "1"), "b": ("shelf", None), "c": (None, None)}
    assert {view.doc_id: (view.source, view.source_hash) for view in page.documents} == expected
    for view in page.documents:
        assert await store.document("default", view.doc_id) == view
    await store.accept("later", "default", [dataclasses.replace(with_both, source_hash="2")], NOW)
    later = await store.document("default", "a")
    assert later is not None
    assert later.source_hash == "2"
