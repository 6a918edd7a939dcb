"""The behaviour that all stores share when the metadata of a document changes alone."""

from collections.abc import Callable

import pytest

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.filters.tree import EVERYTHING
from tandem_gateway.http.filters import read_filter
from tandem_gateway.index.filter_index import FilterFollower
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.documents import NewDocument, StoredContent
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import accept_in_two_passages, added, all_changes, counts, embed, vector_bytes
from tests.support.stores import NOW, document, embed_pending, ingest, pending_documents

NEW = '{"k":2}'


def to(metadata: str) -> Callable[[StoredContent], NewDocument]:
    return lambda stored: document(stored.doc_id, stored.text, metadata, stored.format)


async def view(store: Store, doc_id: str = "a") -> tuple[str, str, bool] | None:
    found = await store.document("default", doc_id)
    return (found.text, found.metadata, found.embedded) if found else None


async def matching(follower: FilterFollower, condition: bytes = b'{"k": 2}') -> list[str]:
    found = follower.matching("default", read_filter(condition), lambda: False)
    return sorted(each.metadata for each in follower._feed.passages(found.tolist()).values())


async def test_an_absent_document_has_no_metadata_to_change(store: Store, feed: IndexFeed):
    await ingest(store, [document("b")])
    version = feed.version()
    assert await store.change_metadata("default", "a", to(NEW)) is None
    assert await store.change_metadata("nowhere", "a", to(NEW)) is None
    assert feed.version() == version
    assert all(record.name != "nowhere" for record in await store.collections())


async def test_a_live_document_keeps_its_vectors_under_new_passage_ids(backend: Backend, store: Store):
    first, second = await accept_in_two_passages(backend, store, "a", "one ", "two", job_id="job")
    await embed(store, {first: "one ", second: "two"})
    feed = backend.feed(store)
    last = feed.last_change()
    before = await store.document("default", "a")
    changed = await store.change_metadata("default", "a", to(NEW))
    assert changed == await store.document("default", "a")
    assert before is not None
    assert changed is not None
    assert (changed.text, changed.metadata, changed.embedded) == ("one two", NEW, True)
    assert changed.coverage == before.coverage
    assert await pending_documents(store) == []
    changes = await all_changes(store, feed, after=last)
    assert changes.removed.tolist() == [first, second]
    assert sorted(added(changes).values()) == sorted([vector_bytes("one "), vector_bytes("two")])
    assert min(added(changes)) > second
    assert await counts(store) == (1, 0)


async def test_filters_see_the_change_at_once(store: Store, feed: IndexFeed):
    follower = FilterFollower(feed)
    await ingest(store, [document("a", "t", '{"k":1}'), document("b", "u", '{"k":3}')])
    assert await matching(follower) == []
    await store.change_metadata("default", "a", to(NEW))
    assert await matching(follower) == [NEW]
    assert await matching(follower, b'{"k": 1}') == []
    found = await store.page("default", "", 10, read_filter(b'{"k": 2}'))
    assert found is not None
    assert [each.doc_id for each in found.documents] == ["a"]


async def test_the_same_metadata_writes_nothing(store: Store, feed: IndexFeed):
    await ingest(store, [document("a", "t", NEW)])
    await store.accept("job2", "default", [document("a", "newer", NEW)], NOW)
    version, passages = feed.version(), feed.passage_ids(1).tolist()
    waiting = await pending_documents(store)
    found = await store.change_metadata("default", "a", to(NEW))
    assert found is not None
    assert found.text == "newer"
    assert (feed.version(), feed.passage_ids(1).tolist()) == (version, passages)
    assert await pending_documents(store) == waiting


async def test_a_change_that_is_refused_changes_no_version(store: Store, feed: IndexFeed):
    await ingest(store, [document("a", "old", '{"k":1}')])
    await store.accept("job2", "default", [document("a", "new", '{"k":1}')], NOW)
    last = feed.last_change()

    def change(stored: StoredContent) -> NewDocument:
        if stored.text == "old":
            raise InvalidRequest("metadata: too large", param="metadata")
        return to(NEW)(stored)

    with pytest.raises(InvalidRequest):
        await store.change_metadata("default", "a", change)
    assert feed.last_change() == last
    assert await view(store) == ("new", '{"k":1}', False)


async def test_the_original_document_sets_its_metadata_back(store: Store):
    original = document("a", "t", '{"k":1}')
    await ingest(store, [original])
    await store.change_metadata("default", "a", to(NEW))
    again = await store.accept("job2", "default", [original], NOW)
    assert (again.processed, again.unchanged) == (1, 0)
    assert await view(store) == ("t", '{"k":1}', True)
    await store.change_metadata("default", "a", to(NEW))
    same = await store.accept("job3", "default", [document("a", "t", NEW)], NOW)
    assert same.unchanged == 1


async def test_a_pending_document_keeps_its_job_and_its_place(store: Store):
    await store.accept("job", "default", [document("a"), document("b"), document("a")], NOW)
    await store.change_metadata("default", "a", to(NEW))
    assert await view(store) == ("text of a", NEW, False)
    assert await counts(store) == (0, 2)
    found = await store.job_documents("job", 0, 10, None)
    assert found is not None
    assert [(each.doc_id, each.status) for each in found.documents] == [
        ("a", "pending"),
        ("b", "pending"),
        ("a", "pending"),
    ]
    assert [each.text for each in await pending_documents(store)][:1] == ["text of a"]
    while await embed_pending(store):
        pass
    job = await store.job("job")
    assert job is not None
    assert (job.processed, job.failed, job.cancelled) == (3, 0, 0)
    assert job.finished_at is not None
    found = await store.job_documents("job", 0, 10, None)
    assert found is not None
    assert {each.status for each in found.documents} == {"embedded"}
    assert await view(store) == ("text of a", NEW, True)


async def test_vectors_that_come_after_the_change_are_ignored_and_asked_for_again(store: Store):
    await store.accept("job", "default", [document("a")], NOW)
    (before,) = await pending_documents(store)
    await store.change_metadata("default", "a", to(NEW))
    assert await embed(store, {before.passage_id: before.text}) == 0
    assert await embed_pending(store) == 1
    assert await view(store) == ("text of a", NEW, True)


async def test_the_passages_that_have_a_vector_already_keep_it(backend: Backend, store: Store):
    first, second = await accept_in_two_passages(backend, store, "a", "one ", "two", job_id="job")
    await embed(store, {first: "one "})
    await store.change_metadata("default", "a", to(NEW))
    (left,) = await pending_documents(store)
    assert left.text == "two"
    assert left.passage_id > second
    assert await embed(store, {left.passage_id: "two"}) == 1
    assert await view(store) == ("one two", NEW, True)


async def test_both_versions_of_a_document_change(store: Store, feed: IndexFeed):
    follower = FilterFollower(feed)
    await ingest(store, [document("a", "old", '{"k":1}')])
    await store.accept("job2", "default", [document("a", "new", '{"k":7}')], NOW)
    await store.change_metadata("default", "a", to(NEW))
    assert await matching(follower) == [NEW, NEW]
    assert await matching(follower, b'{"k": {"$ne": 2}}') == []
    assert await counts(store) == (1, 1)
    assert await embed_pending(store) == 1
    assert await view(store) == ("new", NEW, True)
    assert len(follower.matching("default", EVERYTHING, lambda: False)) == 1


async def test_the_format_stays(store: Store):
    seen: list[StoredContent] = []

    def change(stored: StoredContent) -> NewDocument:
        seen.append(stored)
        return to(NEW)(stored)

    await ingest(store, [document("a", "# t", text_format="markdown")])
    await store.change_metadata("default", "a", change)
    assert set(seen) == {StoredContent("a", "# t", "{}", "markdown")}
    again = await store.accept("job2", "default", [document("a", "# t", NEW, "markdown")], NOW)
    assert again.unchanged == 1
