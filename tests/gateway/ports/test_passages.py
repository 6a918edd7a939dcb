"""The behaviour that all stores share for hydration: passages with their documents."""

import pytest

from tandem_gateway.errors import TooManyBytes
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.search import FirstPassage, HitPassage, PassageView
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import accept_in_two_passages, collection, embed
from tests.support.stores import NOW, document, ingest, pending_documents


async def test_live_and_pending_passages_come_with_their_documents_and_others_are_missing(
    store: Store, feed: IndexFeed
):
    await ingest(store, [document("a", "old", '{"n":1}')])
    (live,) = feed.passage_ids((await collection(store)).space_id).tolist()
    await store.accept("job2", "default", [document("a", "new", '{"n":2}')], NOW)
    (waiting,) = await pending_documents(store)
    assert feed.passages([live, 999, waiting.passage_id]) == {
        live: PassageView(live, "a", "old", '{"n":1}'),
        waiting.passage_id: PassageView(waiting.passage_id, "a", "new", '{"n":2}', live=0),
    }
    await store.delete("default", "a")
    assert feed.passages([live, waiting.passage_id]) == {}


async def test_passages_of_several_collections_are_read_together(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")])
    await ingest(store, [document("a", "another")], job_id="job2", collection="books")
    ids = [feed.passage_ids(record.space_id).tolist()[0] for record in await store.collections()]
    assert sorted(each.text for each in feed.passages(ids).values()) == ["another", "text of a"]


async def test_each_passage_of_a_document_comes_with_it(backend: Backend, store: Store, feed: IndexFeed):
    ids = await accept_in_two_passages(backend, store, "a", "the first ", "the second", job_id="job")
    found = feed.passages(ids)
    assert {each.doc_id for each in found.values()} == {"a"}
    assert sorted(found) == sorted(ids)
    view = found[ids[0]]
    assert [view.passage(each) for each in (*ids, 999)] == [HitPassage(0, 0, 10), HitPassage(1, 10, 20), None]


async def test_the_first_passage_of_a_document_is_that_of_its_live_version(
    backend: Backend, store: Store, feed: IndexFeed
):
    ids = await accept_in_two_passages(backend, store, "a", "the first ", "the second", job_id="job")
    await store.accept("job2", "books", [document("a", "another")], NOW)
    record = await collection(store)
    assert feed.first_passage(record.collection_id, "a") == FirstPassage(ids[0], live=False)
    await embed(store, dict(zip(ids, ["the first ", "the second"], strict=True)))
    assert feed.first_passage(record.collection_id, "a") == FirstPassage(ids[0], live=True)
    await store.accept("job3", "default", [document("a", "new")], NOW)
    assert feed.first_passage(record.collection_id, "a") == FirstPassage(ids[0], live=True)
    assert feed.first_passage(record.collection_id, "b") is None
    assert feed.first_passage(999, "a") is None
    await store.delete("default", "a")
    assert feed.first_passage(record.collection_id, "a") is None
    other = feed.first_passage((await collection(store, "books")).collection_id, "a")
    assert other is not None
    assert not other.live


async def test_the_texts_can_be_left_out(backend: Backend, store: Store, feed: IndexFeed):
    ids = await accept_in_two_passages(backend, store, "a", "the first ", "the second", job_id="job")
    assert feed.passages(ids, texts=False) == {each: PassageView(each, "a", "", "{}", live=0) for each in ids}
    assert len(feed.passages(ids[:1], 2, texts=False)) == 1
    with pytest.raises(TooManyBytes):
        feed.passages(ids[:1], 2)


async def test_the_metadata_can_be_left_out(store: Store, feed: IndexFeed):
    await ingest(store, [document("a", "12345678", metadata='{"page":1}')])
    ids = feed.passage_ids((await collection(store)).space_id).tolist()
    assert feed.passages(ids, metadata=False) == {each: PassageView(each, "a", "12345678", "{}") for each in ids}
    assert feed.passages(ids, texts=False, metadata=False) == {each: PassageView(each, "a", "", "{}") for each in ids}
    assert [each.metadata for each in feed.passages(ids).values()] == ['{"page":1}']
    assert len(feed.passages(ids, 10, metadata=False)) == 1  # what is left out does not count
    with pytest.raises(TooManyBytes):
        feed.passages(ids, 10)


async def test_reading_stops_at_the_bytes_that_the_caller_allows(store: Store, feed: IndexFeed):
    await ingest(store, [document("a", "\U0001f600" * 3), document("b", "12345678")])
    ids = feed.passage_ids((await collection(store)).space_id).tolist()
    # Two documents: 12 and 8 bytes of text, and 2 of metadata each.
    assert len(feed.passages(ids, 24)) == 2
    with pytest.raises(TooManyBytes, match="23 bytes"):
        feed.passages(ids, 23)
    assert len(feed.passages(ids)) == 2


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5000])
async def test_any_number_of_passages_is_read(store: Store, feed: IndexFeed, count: int):
    await ingest(store, [document(f"d{number}") for number in range(min(count, 5))])
    found = feed.passages(list(range(1, 1 + count)))
    assert sorted(each.doc_id for each in found.values()) == [f"d{number}" for number in range(min(count, 5))]


async def test_a_passage_says_whether_its_text_is_markdown(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b", text_format="markdown")])
    ids = feed.passage_ids((await collection(store)).space_id).tolist()
    for texts in (True, False):
        found = feed.passages(ids, texts=texts).values()
        assert sorted((each.doc_id, each.markdown) for each in found) == [("a", 0), ("b", 1)]
