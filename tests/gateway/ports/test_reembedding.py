"""The behaviour that all stores share while a collection is embedded with another model."""

import pytest

from tandem_gateway.errors import Conflict, FingerprintMismatch, NotFound
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import CollectionRecord, EmbeddedBatch
from tandem_gateway.records.reembedding import SecondVectors, SpaceModel
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import accept_in_two_passages, all_changes, collection, embed
from tests.support.fakes import DIM, FINGERPRINT, MODEL, eventually, vectors_of
from tests.support.reembedding import NEW, NEW_DIM, fill_second, second_vectors
from tests.support.stores import NOW, document, embed_pending, ingest, pending_documents


def second(feed: IndexFeed) -> CollectionRecord:
    (found,) = feed.spaces().second
    return found


def texts_in(feed: IndexFeed, record: CollectionRecord) -> dict[str, bytes]:
    """Return the vector of each text that an index of a space gets."""
    found = feed.changes(record, after=0, removals_after=feed.last_change(), limit=1000)
    assert found is not None
    views = feed.passages(found.added.tolist())
    rows = zip(found.added.tolist(), found.vectors, strict=True)
    return {views[number].text: row.astype("<f4").tobytes() for number, row in rows}


def expected(*texts: str, dim: int) -> dict[str, bytes]:
    return {text: vectors_of([text], dim)[0].astype("<f4").tobytes() for text in texts}


async def test_a_second_space_is_filled_while_the_first_serves(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b"), document("c"), document("d")])
    catalogue = feed.catalogue()
    started = await store.reembeddings.start("default", NEW)
    assert feed.catalogue() > catalogue
    assert (started.passages, started.embedded, started.truncated, started.complete) == (4, 0, 0, False)
    assert (started.space.target, started.space.serving) == (NEW, SpaceModel(MODEL, FINGERPRINT, DIM))
    assert not started.space.switched
    assert await store.reembeddings.spaces() == [started.space]
    record = await collection(store)
    assert (record.fingerprint, record.space_id) == (FINGERPRINT, started.space.serving_id)
    assert (second(feed).fingerprint, second(feed).model, second(feed).dim) == (NEW.fingerprint, NEW.model, NEW_DIM)
    assert texts_in(feed, second(feed)) == {}

    filled = await fill_second(store)
    assert (filled.passages, filled.embedded, filled.complete) == (4, 4, True)
    texts = [f"text of {name}" for name in "abcd"]
    assert texts_in(feed, second(feed)) == expected(*texts, dim=NEW_DIM)
    assert texts_in(feed, record) == expected(*texts, dim=DIM)
    assert len(feed.passage_ids(second(feed).space_id)) == feed.vectors_after(second(feed).space_id, 0) == 4


async def test_a_page_has_a_limit_and_goes_on_where_it_ended(store: Store):
    await ingest(store, [document(name) for name in "abcde"])
    space = (await store.reembeddings.start("default", NEW)).space
    first = await store.reembeddings.missing(space, 0, 2)
    assert ([each.text for each in first.passages], first.complete) == (["text of a", "text of b"], False)
    following = await store.reembeddings.missing(space, first.after, 2)
    assert [each.text for each in following.passages] == ["text of c", "text of d"]
    last = await store.reembeddings.missing(space, following.after, 2)
    assert ([each.text for each in last.passages], last.complete) == (["text of e"], True)
    assert (await store.reembeddings.missing(space, last.after, 2)).passages == []
    # What got no vector is found again from the beginning.
    await store.reembeddings.add(second_vectors(space, following.passages))
    again = await store.reembeddings.missing(space, 0, 10)
    assert [each.text for each in again.passages] == ["text of a", "text of b", "text of e"]


async def test_a_page_ends_before_the_texts_are_too_large(backend: Backend):
    store = backend.open(batch_bytes=25)
    await ingest(store, [document("a"), document("b"), document("c", "long " * 20), document("d")])
    space = (await store.reembeddings.start("default", NEW)).space
    sizes, after, complete = [], 0, False
    while not complete:
        page = await store.reembeddings.missing(space, after, 10)
        sizes.append(len(page.passages))
        after, complete = page.after, page.complete
    assert sizes == [2, 1, 1]


async def test_documents_that_come_change_and_go_are_followed_in_both_spaces(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b"), document("c")])
    await store.reembeddings.start("default", NEW)
    await fill_second(store)
    position = feed.last_change()
    await ingest(store, [document("b", "newer"), document("d")], "job2")
    await store.delete("default", "c")
    state = await store.reembeddings.reembedding("default")
    assert state is not None
    assert (state.passages, state.embedded, state.complete) == (3, 1, False)
    changes = feed.changes(second(feed), after=position, removals_after=position, limit=100)
    assert changes is not None
    assert (len(changes.removed), len(changes.added)) == (2, 0)
    assert second(feed).space_id in feed.changed_spaces(position)
    with pytest.raises(Conflict, match="2 of 3 passages"):
        await store.reembeddings.switch("default")
    assert (await fill_second(store)).complete
    assert texts_in(feed, second(feed)) == expected("text of a", "newer", "text of d", dim=NEW_DIM)
    assert texts_in(feed, await collection(store)) == expected("text of a", "newer", "text of d", dim=DIM)


async def test_new_metadata_keeps_the_vectors_of_both_spaces(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")])
    await store.reembeddings.start("default", NEW)
    await fill_second(store)
    await ingest(store, [document("a", metadata='{"n":1}')], "job2")
    state = await store.reembeddings.reembedding("default")
    assert state is not None
    assert state.complete
    assert texts_in(feed, second(feed)) == expected("text of a", dim=NEW_DIM)
    (number,) = feed.passage_ids(second(feed).space_id).tolist()
    assert feed.passages([number])[number].metadata == '{"n":1}'


async def test_every_passage_of_a_document_is_embedded_again(backend: Backend, store: Store, feed: IndexFeed):
    first, later = await accept_in_two_passages(backend, store, "a", "one ", "two", job_id="job")
    await embed(store, {first: "one ", later: "two"})
    space = (await store.reembeddings.start("default", NEW)).space
    page = await store.reembeddings.missing(space, 0, 10)
    assert {each.passage_id: each.text for each in page.passages} == {first: "one ", later: "two"}
    coverages = [Coverage(truncated=True), Coverage()]
    assert await store.reembeddings.add(second_vectors(space, page.passages, coverages)) == 2
    state = await store.reembeddings.switch("default")
    assert (state.passages, state.space.switched) == (2, True)
    changes = await all_changes(store, feed)
    assert sorted(changes.added.tolist()) == sorted([first, later])
    assert changes.firsts.tolist() == [first, first]
    found = await store.document("default", "a")
    assert found is not None
    assert found.coverage == Coverage(truncated=True)


async def test_truncated_passages_are_counted(store: Store):
    await ingest(store, [document("a"), document("b")])
    space = (await store.reembeddings.start("default", NEW)).space
    page = await store.reembeddings.missing(space, 0, 10)
    coverages = [Coverage(truncated=True), Coverage()]
    await store.reembeddings.add(second_vectors(space, page.passages, coverages))
    await store.reembeddings.add(second_vectors(space, page.passages, coverages))  # a second vector is ignored
    state = await store.reembeddings.reembedding("default")
    assert state is not None
    assert state.truncated == 1
    assert (await store.reembeddings.switch("default")).truncated == 0  # of the old vectors
    assert await store.reembeddings.switch("default", back=True) == state


async def test_a_switch_exchanges_the_spaces_and_back(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b")])
    old = await collection(store)
    space = (await store.reembeddings.start("default", NEW)).space
    with pytest.raises(Conflict, match="2 of 2 passages"):
        await store.reembeddings.switch("default")
    with pytest.raises(Conflict, match="old vectors already"):
        await store.reembeddings.switch("default", back=True)
    await fill_second(store)
    catalogue = feed.catalogue()
    switched = await store.reembeddings.switch("default")
    assert feed.catalogue() > catalogue
    assert (switched.space.switched, switched.space.target.fingerprint) == (True, FINGERPRINT)
    new = await collection(store)
    assert (new.space_id, new.fingerprint, new.model, new.dim) == (space.space_id, NEW.fingerprint, NEW.model, NEW_DIM)
    assert new.live == old.live
    texts = ["text of a", "text of b"]
    assert texts_in(feed, new) == expected(*texts, dim=NEW_DIM)
    assert texts_in(feed, second(feed)) == expected(*texts, dim=DIM)
    with pytest.raises(Conflict, match="new vectors already"):
        await store.reembeddings.switch("default")

    back = await store.reembeddings.switch("default", back=True)
    assert not back.space.switched
    assert await collection(store) == old
    assert texts_in(feed, old) == expected(*texts, dim=DIM)
    assert (await store.reembeddings.switch("default")).space.switched


async def test_after_a_switch_new_documents_need_the_new_model_and_both_spaces_follow(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")])
    await store.reembeddings.start("default", NEW)
    await fill_second(store)
    await store.accept("job2", "default", [document("b")], NOW)
    await store.reembeddings.switch("default")
    batch = await store.queue.claim("test", 10, 60.0)
    assert batch is not None
    assert batch.fingerprint == NEW.fingerprint
    await store.queue.release("test", [each.passage_id for each in batch.passages])
    with pytest.raises(FingerprintMismatch):
        await embed_pending(store)
    record = await collection(store)
    (waiting,) = await pending_documents(store)
    vectors = vectors_of([waiting.text], NEW_DIM)
    done = EmbeddedBatch(record.collection_id, [waiting.passage_id], vectors, NEW.model, NEW.fingerprint, NOW)
    assert await store.queue.complete(done) == 1
    state = await store.reembeddings.reembedding("default")
    assert state is not None
    assert (state.passages, state.embedded) == (2, 1)
    with pytest.raises(Conflict, match="1 of 2 passages"):
        await store.reembeddings.switch("default", back=True)
    await fill_second(store)
    assert (await store.reembeddings.switch("default", back=True)).complete
    assert texts_in(feed, await collection(store)) == expected("text of a", "text of b", dim=DIM)


async def test_a_document_half_embedded_at_the_switch_waits_for_the_new_model(
    backend: Backend, store: Store, feed: IndexFeed
):
    await ingest(store, [document("a")])
    await store.reembeddings.start("default", NEW)
    await fill_second(store)
    first, later = await accept_in_two_passages(backend, store, "b", "one ", "two", job_id="job2")
    assert await embed(store, {first: "one "}) == 0
    await store.reembeddings.switch("default")
    assert sorted(each.passage_id for each in await pending_documents(store)) == [first, later]
    await store.reembeddings.switch("default", back=True)
    assert await embed(store, {first: "one ", later: "two"}) == 1
    assert (await fill_second(store)).complete
    assert len(feed.passage_ids(second(feed).space_id)) == 3


async def test_vectors_that_come_too_late_are_skipped(store: Store):
    await ingest(store, [document("a"), document("b")])
    space = (await store.reembeddings.start("default", NEW)).space
    page = await store.reembeddings.missing(space, 0, 10)
    late = second_vectors(space, page.passages)
    await store.delete("default", "a")
    assert await store.reembeddings.add(late) == 1
    await store.reembeddings.switch("default")
    assert await store.reembeddings.add(late) == 0
    assert (await store.reembeddings.missing(space, 0, 10)).complete
    await store.reembeddings.drop("default")
    assert await store.reembeddings.add(late) == 0
    assert (await store.reembeddings.missing(space, 0, 10)).passages == []


async def test_vectors_of_another_model_are_refused(store: Store):
    await ingest(store, [document("a")])
    space = (await store.reembeddings.start("default", NEW)).space
    (passage,) = (await store.reembeddings.missing(space, 0, 10)).passages
    for dim, fingerprint in ((NEW_DIM, FINGERPRINT), (DIM, NEW.fingerprint)):
        with pytest.raises(FingerprintMismatch):
            await store.reembeddings.add(
                SecondVectors(space, [passage.passage_id], vectors_of(["x"], dim), fingerprint)
            )


async def test_what_cannot_be_re_embedded(store: Store):
    with pytest.raises(NotFound):
        await store.reembeddings.start("books", NEW)
    with pytest.raises(Conflict, match="no vectors yet"):
        await store.reembeddings.start("default", NEW)
    await ingest(store, [document("a")])
    with pytest.raises(Conflict, match="makes the same"):
        await store.reembeddings.start("default", SpaceModel(MODEL, FINGERPRINT, DIM))
    assert await store.reembeddings.reembedding("default") is None
    assert await store.reembeddings.reembedding("books") is None
    assert await store.reembeddings.spaces() == []
    assert not await store.reembeddings.drop("default")
    assert await store.reembeddings.sample("default", 5) == []
    with pytest.raises(NotFound):
        await store.reembeddings.switch("default")
    await store.reembeddings.start("default", NEW)
    with pytest.raises(Conflict, match="already"):
        await store.reembeddings.start("default", NEW)


@pytest.mark.parametrize("switched", [False, True])
async def test_a_dropped_space_is_gone_and_another_one_can_be_filled(store: Store, feed: IndexFeed, switched: bool):
    await ingest(store, [document("a"), document("b")])
    space = (await store.reembeddings.start("default", NEW)).space
    await fill_second(store)
    if switched:
        await store.reembeddings.switch("default")
    dropped = second(feed)
    assert await store.reembeddings.drop("default")
    assert feed.spaces().second == []
    assert await store.reembeddings.reembedding("default") is None
    assert not await store.reembeddings.drop("default")
    record = await collection(store)
    assert record.fingerprint == (NEW.fingerprint if switched else FINGERPRINT)
    assert len(texts_in(feed, record)) == 2
    assert feed.vectors(dropped.space_id, feed.passage_ids(record.space_id).tolist()) == {}
    assert await store.forget_removals(dropped.space_id, feed.last_change()) == 0

    async def left() -> int:
        await store.forget_jobs(0.0)
        return len(feed.passage_ids(dropped.space_id))

    assert await eventually(left, lambda count: count == 0) == 0
    another = await store.reembeddings.start("default", SpaceModel("third", "d" * 32, DIM))
    assert another.space.space_id > space.space_id
    assert (await fill_second(store)).complete


async def test_an_index_of_a_second_space_keeps_the_removals_that_it_needs(store: Store, feed: IndexFeed):
    await ingest(store, [document("a"), document("b")])
    await store.reembeddings.start("default", NEW)
    await fill_second(store)
    position = feed.last_change()
    await store.delete("default", "a")
    assert await store.forget_removals((await collection(store)).space_id, feed.last_change()) == 0
    changes = feed.changes(second(feed), after=position, removals_after=position, limit=10)
    assert changes is not None
    assert len(changes.removed) == 1
    assert await store.forget_removals(second(feed).space_id, feed.last_change()) == 1


async def test_a_deleted_collection_takes_both_spaces_with_it(store: Store, feed: IndexFeed):
    await ingest(store, [document("a")], collection="books")
    await store.reembeddings.start("books", NEW)
    await fill_second(store, "books")
    assert await store.delete_collection("books")
    assert feed.spaces().second == []
    assert await store.reembeddings.spaces() == []
    assert await store.reembeddings.reembedding("books") is None


async def test_a_sample_has_first_passages_with_both_vectors(backend: Backend, store: Store):
    await ingest(store, [document(f"d{number}") for number in range(20)])
    first, later = await accept_in_two_passages(backend, store, "long", "one ", "two", job_id="job2")
    await embed(store, {first: "one ", later: "two"})
    await store.reembeddings.start("default", NEW)
    assert await store.reembeddings.sample("default", 5) == []
    await fill_second(store)
    every = await store.reembeddings.sample("default", 100)
    assert {each.passage_id for each in every} == {*range(1, 21), first}
    assert all((len(each.serving), len(each.second)) == (4 * DIM, 4 * NEW_DIM) for each in every)
    some = await store.reembeddings.sample("default", 5)
    assert 1 <= len(some) <= 5
    assert {each.passage_id for each in some} <= {each.passage_id for each in every}
    (one,) = [each for each in every if each.passage_id == 1]
    text = "text of d0"
    assert (one.serving, one.second) == (expected(text, dim=DIM)[text], expected(text, dim=NEW_DIM)[text])
