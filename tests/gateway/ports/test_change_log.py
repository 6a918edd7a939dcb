"""The behaviour that all change logs share: an index that follows them has what search may find, and nothing else."""

import pytest

from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.index import Changes
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import (
    accept_in_two_passages,
    added,
    all_changes,
    collection,
    counts,
    embed,
    vector_bytes,
)
from tests.support.fakes import DIM, FINGERPRINT, MODEL, eventually
from tests.support.stores import NOW, claimed, complete, document, embed_pending, ingest, pending_documents


def texts_of(feed: IndexFeed, changes: Changes) -> list[str]:
    """Return the texts of the added passages' documents, in order."""
    ids = changes.added.tolist()
    found = feed.passages(ids)
    return [found[passage_id].text for passage_id in ids]


async def passage_of(store: Store, feed: IndexFeed, doc_id: str) -> int:
    """Return the one passage of a live document in ``default``."""
    ids = feed.passage_ids((await collection(store)).space_id).tolist()
    (found,) = [each for each, passage in feed.passages(ids).items() if passage.doc_id == doc_id]
    return found


async def test_the_version_differs_after_each_write(store: Store, feed: IndexFeed):
    seen = [feed.version()]
    assert feed.version() == seen[0]
    await store.accept("job", "default", [document("a"), document("b")], NOW)
    seen.append(feed.version())
    await embed_pending(store)
    seen.append(feed.version())
    await store.accept("job2", "default", [document("b", "newer")], NOW)
    seen.append(feed.version())
    await store.queue.fail((await pending_documents(store))[0].passage_id, "refused")
    seen.append(feed.version())
    await store.delete("default", "a")
    seen.append(feed.version())
    await store.delete_collection("default")
    seen.append(feed.version())
    assert len(set(seen)) == len(seen)


async def test_each_store_has_its_own_id(backend: Backend, store: Store, feed: IndexFeed):
    assert feed.store_id() == backend.feed(store).store_id() != backend.feed(backend.open()).store_id()


async def test_the_feed_lists_the_collections_of_the_store(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")])
    await store.accept("job2", "books", [document("b")], NOW)
    assert feed.collections() == await store.collections()
    default, books = sorted(feed.collections(), key=lambda record: record.collection_id)
    assert (default.fingerprint, default.model, default.dim) == (FINGERPRINT, MODEL, DIM)
    assert (books.name, books.fingerprint, books.live, books.pending) == ("books", None, 0, 1)


async def test_a_pending_document_is_no_change(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")])
    before, record = feed.last_change(), await collection(store)
    await store.accept("job2", "default", [document("b")], NOW)
    assert feed.last_change() == before
    assert feed.changed_spaces(before) == []
    assert texts_of(feed, await all_changes(store, feed)) == ["text of a"]
    (waiting,) = await pending_documents(store)
    assert feed.vectors((await collection(store)).space_id, [waiting.passage_id]) == {}
    assert waiting.passage_id not in feed.passage_ids(record.space_id)


async def test_each_write_is_in_the_log_once_it_is_acknowledged_and_in_order(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b"), document("c")])
    first = await all_changes(store, feed)
    assert texts_of(feed, first) == ["text of a", "text of b", "text of c"]
    assert first.vectors.shape == (3, DIM)
    assert added(first) == {
        passage_id: vector_bytes(f"text of {doc_id}")
        for passage_id, doc_id in zip(first.added.tolist(), "abc", strict=True)
    }
    assert (first.removed.tolist(), first.upto) == ([], feed.last_change())
    a, b, _ = first.added.tolist()

    await store.delete("default", "a")
    second = await all_changes(store, feed, after=first.upto)
    assert (second.removed.tolist(), second.added.tolist()) == ([a], [])
    assert second.vectors.shape == (0, DIM)
    assert second.upto == feed.last_change() > first.upto

    await store.accept("job2", "default", [document("b", "newer")], NOW)
    assert feed.last_change() == second.upto
    await embed_pending(store)
    third = await all_changes(store, feed, after=second.upto)
    assert third.removed.tolist() == [b]
    assert texts_of(feed, third) == ["newer"]

    nothing = await all_changes(store, feed, after=third.upto)
    assert (nothing.removed.tolist(), nothing.added.tolist(), nothing.upto) == ([], [], third.upto)


async def test_pages_end_with_an_addition_and_have_the_removals_up_to_it(store: Store, feed: IndexFeed):
    await ingest(store, [document(f"d{number}") for number in range(3)])
    await store.delete("default", "d0")
    await ingest(store, [document(f"d{number}") for number in (3, 4)], job_id="job2")
    await store.delete("default", "d3")
    record = await collection(store)
    position, pages, removed = 0, [], []
    while True:
        page = feed.changes(record, after=position, removals_after=position, limit=2)
        assert page is not None
        assert page.upto >= position
        pages.append((texts_of(feed, page), page.complete))
        removed.append(len(page.removed))
        position = page.upto
        if page.complete:
            break
    # d0 and d3 were removed, and with them their additions.
    assert pages == [(["text of d1", "text of d2"], False), (["text of d4"], True)]
    assert removed == [0, 2]
    assert position == feed.last_change()


async def test_a_page_that_is_full_says_that_more_may_follow(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b")])
    record = await collection(store)
    full = feed.changes(record, after=0, removals_after=0, limit=2)
    assert full is not None
    assert not full.complete
    rest = feed.changes(record, after=full.upto, removals_after=full.upto, limit=2)
    assert rest is not None
    assert (len(rest.added), rest.complete) == (0, True)


async def test_additions_and_removals_have_positions_of_their_own(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b")])
    before = feed.last_change()
    await store.delete("default", "a")
    record = await collection(store)
    found = feed.changes(record, after=0, removals_after=feed.last_change(), limit=10)
    assert found is not None
    assert (texts_of(feed, found), found.removed.tolist()) == (["text of b"], [])
    found = feed.changes(record, after=feed.last_change(), removals_after=before, limit=10)
    assert found is not None
    assert (found.added.tolist(), len(found.removed)) == ([], 1)


async def test_the_log_of_a_collection_has_no_change_of_another(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")])
    await ingest(store, [document("b")], job_id="job2", collection="books")
    await store.delete("default", "a")
    books = await all_changes(store, feed, "books")
    assert (texts_of(feed, books), books.removed.tolist()) == (["text of b"], [])
    default = await all_changes(store, feed)
    assert (default.added.tolist(), len(default.removed)) == ([], 1)


async def test_a_removed_pending_version_is_a_removal_too(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")])
    before = feed.last_change()
    dropped = []
    for number in range(3):
        await store.accept(f"new{number}", "default", [document("b", f"version {number}")], NOW)
        dropped += [waiting.passage_id for waiting in await pending_documents(store)]
    await store.queue.fail(dropped[2], "refused")
    found = await all_changes(store, feed, after=before)
    assert (sorted(found.removed.tolist()), found.added.tolist()) == (dropped, [])


async def test_forgotten_removals_need_a_rebuild_of_the_index_that_lacks_them(store: Store, feed: IndexFeed):
    await ingest(store, [document(doc_id) for doc_id in "abc"])
    record, beginning = await collection(store), feed.last_change()
    await store.delete("default", "a")
    floor = feed.last_change()
    await store.delete("default", "b")

    def removed(after: int) -> int | None:
        found = feed.changes(record, after=0, removals_after=after, limit=10)
        return None if found is None else len(found.removed)

    assert [removed(beginning), removed(floor)] == [2, 1]
    assert await store.forget_removals(record.space_id, floor) == 1
    assert [removed(beginning), removed(floor - 1), removed(floor), removed(feed.last_change())] == [None, None, 1, 0]


async def test_the_changed_spaces_are_those_with_a_change_after_a_number(store: Store, feed: IndexFeed):
    assert feed.changed_spaces(0) == []
    await ingest(store, [document("a")])
    first = feed.last_change()
    await ingest(store, [document("b")], job_id="job2", collection="books")
    second = feed.last_change()
    default, books = await collection(store), await collection(store, "books")
    assert sorted(feed.changed_spaces(0)) == sorted([default.space_id, books.space_id])
    assert feed.changed_spaces(first) == [books.space_id]
    assert feed.changed_spaces(second) == []
    await store.accept("job3", "default", [document("a", metadata='{"n":1}')], NOW)
    assert feed.changed_spaces(second) == [default.space_id]
    third = feed.last_change()
    await store.delete("books", "b")
    assert feed.changed_spaces(third) == [books.space_id]
    assert feed.changed_spaces(feed.last_change()) == []


async def test_the_catalogue_number_grows_when_a_collection_appears_is_pinned_or_goes_and_else_stays(
    store: Store, feed: IndexFeed
):
    seen = [feed.catalogue()]

    def grown() -> bool:
        seen.append(feed.catalogue())
        return seen[-1] > seen[-2]

    await store.accept("job", "default", [document("a"), document("b")], NOW)
    assert not grown()
    await embed_pending(store, limit=1)
    assert grown()
    await embed_pending(store)
    assert not grown()
    await store.accept("job2", "books", [document("a")], NOW)
    assert grown()
    await store.accept("job3", "books", [document("b"), document("c")], NOW)
    assert not grown()
    await embed_pending(store)
    assert grown()
    await store.accept("job4", "default", [document("a", metadata='{"n":1}'), document("b", "newer")], NOW)
    await store.delete("default", "a")
    await store.queue.fail((await pending_documents(store))[0].passage_id, "refused")
    await store.forget_removals((await collection(store)).space_id, feed.last_change())
    await store.forget_jobs(NOW)
    assert not await store.delete_collection("nowhere")
    assert not grown()
    await store.delete_collection("books")
    assert grown()


async def test_a_batch_of_replaced_documents_alone_pins_no_model(store: Store, feed: IndexFeed):
    await store.accept("job", "default", [document("a")], NOW)
    batch = await claimed(store)
    await store.delete("default", "a")
    before = feed.catalogue()
    assert await complete(store, batch) == 0
    assert (await collection(store)).fingerprint is None
    assert feed.catalogue() == before
    await store.accept("job2", "default", [document("b")], NOW)
    assert await embed_pending(store, fingerprint="another") == 1


async def test_a_document_goes_live_when_all_its_passages_have_vectors(backend: Backend, store: Store, feed: IndexFeed):
    await ingest(store, [document("a", "old")])
    old, before = await passage_of(store, feed, "a"), feed.last_change()
    first, second = await accept_in_two_passages(backend, store, "a", "the first ", "the second", job_id="job2")
    assert await embed(store, {second: "the second"}) == 0
    assert await embed(store, {second: "the first "}) == 0  # a second vector is ignored
    assert feed.last_change() == before
    assert feed.vectors((await collection(store)).space_id, [first, second]) == {}
    assert feed.passage_ids((await collection(store)).space_id).tolist() == [old]
    assert await counts(store) == (1, 1)
    job = await store.job("job2")
    assert job is not None
    assert (job.processed, job.finished_at) == (0, None)
    assert [waiting.text for waiting in await pending_documents(store)] == ["the first "]

    assert await embed(store, {first: "the first "}) == 1
    found = await all_changes(store, feed, after=before)
    assert added(found) == {first: vector_bytes("the first "), second: vector_bytes("the second")}
    assert found.removed.tolist() == [old]
    assert feed.vectors((await collection(store)).space_id, [old, first, second]) == added(found)
    assert await counts(store) == (1, 0)
    job = await store.job("job2")
    assert job is not None
    assert (job.processed, job.finished_at is not None) == (1, True)
    view = await store.document("default", "a")
    assert view is not None
    assert (view.text, view.embedded) == ("the first the second", True)


async def test_all_passages_of_a_document_go_with_it(backend: Backend, store: Store, feed: IndexFeed):
    first, second = await accept_in_two_passages(backend, store, "a", "the first ", "the second", job_id="job")
    await embed(store, {first: "the first ", second: "the second"})
    before, record = feed.last_change(), await collection(store)
    await store.delete("default", "a")
    found = feed.changes(record, after=before, removals_after=before, limit=10)
    assert found is not None
    assert sorted(found.removed.tolist()) == sorted([first, second])
    assert feed.vectors((await collection(store)).space_id, [first, second]) == {}
    assert feed.passage_ids(record.space_id).tolist() == []
    # One of two passages has its vector.
    third, fourth = await accept_in_two_passages(backend, store, "b", "the third ", "the fourth", job_id="job2")
    await embed(store, {third: "the third "})
    await store.queue.fail(fourth, "refused")
    assert await store.document("default", "b") is None
    assert await embed(store, {fourth: "the fourth"}) == 0
    assert feed.vectors((await collection(store)).space_id, [third, fourth]) == {}


async def test_new_metadata_alone_keeps_the_vectors_under_new_passages(backend: Backend, store: Store, feed: IndexFeed):
    old = await accept_in_two_passages(backend, store, "a", "the first ", "the second", job_id="job")
    await embed(store, dict(zip(old, ("the first ", "the second"), strict=True)))
    before = feed.last_change()
    await store.accept("job2", "default", [document("a", "the first the second", '{"n":1}')], NOW)
    found = await all_changes(store, feed, after=before)
    assert sorted(found.removed.tolist()) == sorted(old)
    new = sorted(added(found))
    assert new[0] > max(old)
    assert [added(found)[each] for each in new] == [vector_bytes("the first "), vector_bytes("the second")]
    assert feed.vectors((await collection(store)).space_id, [*old, *new]) == added(found)
    assert {each.metadata for each in feed.passages([*old, *new]).values()} == {'{"n":1}'}
    assert await pending_documents(store) == []


async def test_a_passage_id_or_a_change_number_is_never_used_again(store: Store, feed: IndexFeed):
    ids: list[int] = []
    changes = [feed.last_change()]
    for number in range(4):
        name = "books" if number % 2 else "default"
        await ingest(store, [document("a", f"version {number}")], job_id=f"job{number}", collection=name)
        ids += added(await all_changes(store, feed, name))
        changes.append(feed.last_change())
        if number == 1:
            await store.delete_collection("books")
        else:
            await store.delete(name, "a")
            changes.append(feed.last_change())
    assert ids == sorted(set(ids))
    assert changes == sorted(set(changes))


async def test_an_index_of_a_deleted_collection_finds_no_more_changes(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b")], collection="books")
    record = await collection(store, "books")
    ids = sorted(feed.passage_ids(record.space_id).tolist())
    assert len(ids) == 2
    await store.delete_collection("books")
    assert [each.name for each in feed.collections()] == ["default"]
    assert feed.vectors(record.space_id, ids) == {}

    async def left() -> list[int]:
        changes = feed.changes(record, after=0, removals_after=0, limit=10)
        assert changes is not None
        return [*changes.added.tolist(), *feed.passage_ids(record.space_id).tolist(), *feed.passages(ids)]

    assert await eventually(left, lambda found: not found) == []


@pytest.mark.parametrize("count", [1, 3, 5000])
async def test_vectors_of_any_number_of_passages_are_read(store: Store, feed: IndexFeed, count: int):
    await ingest(store, [document("a"), document("b")])
    ids = feed.passage_ids((await collection(store)).space_id).tolist()
    asked = [*ids, *range(10_000, 10_000 + count)]
    assert feed.vectors((await collection(store)).space_id, asked) == {
        passage_id: vector_bytes(passage.text) for passage_id, passage in feed.passages(asked).items()
    }
    assert sorted(feed.vectors((await collection(store)).space_id, asked)) == sorted(ids)
    assert feed.vectors((await collection(store)).space_id, []) == {}
