"""The behaviour that all stores share for texts that an embedder split: queue, log of changes and passages."""

from collections.abc import Sequence

import numpy as np

from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.chunking import Chunking, Span, Split
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import EmbeddedBatch, NewDocument, PendingBatch
from tandem_gateway.records.search import HitPassage
from tests.gateway.ports.backends import Store
from tests.gateway.ports.steps import added, all_changes, collection, vector_bytes
from tests.support.fakes import FINGERPRINT, MODEL, paragraphs, vectors_of
from tests.support.stores import NOW, document

LONG = "the first part\n\nthe second part\n\nthe third part"
PARTS = LONG.split("\n\n")


async def claim(store: Store, limit: int = 100) -> PendingBatch:
    batch = await store.queue.claim("test", limit, 60.0)
    assert batch is not None
    return batch


def split(batch: PendingBatch, coverages: Sequence[Coverage] = ()) -> EmbeddedBatch:
    """Return the batch with a vector for each paragraph."""
    spans = [paragraphs(each.text) for each in batch.passages]
    parts = [each.text[slice(*span)] for each, found in zip(batch.passages, spans, strict=True) for span in found]
    ids = [each.passage_id for each in batch.passages]
    return EmbeddedBatch(batch.collection_id, ids, vectors_of(parts), MODEL, FINGERPRINT, NOW, coverages, spans)


async def ingest_split(store: Store, *documents: NewDocument, job_id: str = "job") -> None:
    await store.accept(job_id, "default", documents, NOW)
    while (batch := await store.queue.claim("test", 100, 60.0)) is not None:
        await store.queue.complete(split(batch))


async def test_texts_of_a_new_collection_are_to_be_split(store: Store):
    assert (await collection(store)).chunking == Chunking()
    await store.accept("job", "default", [document("a"), document("b")], NOW)
    batch = await claim(store)
    assert (batch.split, len(batch.passages)) == (Split(Chunking()), 2)


async def test_a_batch_has_texts_of_one_format(store: Store):
    formats = ["text", "markdown", "markdown", "text"]
    documents = [document(f"d{place}", text_format=each) for place, each in enumerate(formats)]
    await store.accept("job", "default", documents, NOW)
    batches = [await claim(store) for _ in range(3)]
    assert [(each.split.format, len(each.passages)) for each in batches if each.split] == [
        ("text", 1),
        ("markdown", 2),
        ("text", 1),
    ]


async def test_a_batch_of_long_texts_is_short(store: Store):
    await store.accept("job", "default", [document(f"d{number}", f"{number}" * 60_000) for number in range(4)], NOW)
    assert [len((await claim(store)).passages) for _ in range(2)] == [2, 2]


async def test_a_split_text_is_indexed_by_its_passages_at_once(store: Store, feed: IndexFeed):
    await store.accept("job", "default", [document("a", LONG), document("b", "short")], NOW)
    batch = await claim(store)
    assert await store.queue.complete(split(batch)) == 2
    changes = await all_changes(store, feed)
    first, single = (each.passage_id for each in batch.passages)
    vectors = added(changes)
    assert sorted(vectors.values()) == sorted(map(vector_bytes, [*PARTS, "short"]))
    firsts = dict(zip(changes.added.tolist(), changes.firsts.tolist(), strict=True))
    assert sorted(firsts.values()) == [first] * 3 + [single]
    assert (vectors[first], vectors[single]) == (vector_bytes(PARTS[0]), vector_bytes("short"))
    later, of_these = feed.later_passages((await collection(store)).space_id)
    assert dict(zip(later.tolist(), of_these.tolist(), strict=True)) == {
        passage: of for passage, of in firsts.items() if passage != of
    }
    assert feed.vectors_after((await collection(store)).space_id, 0) == 4
    assert feed.vectors_after((await collection(store)).space_id, changes.upto) == 0


async def test_a_document_is_read_with_its_passages(store: Store, feed: IndexFeed):
    await ingest_split(store, document("a", LONG), document("b", "short"))
    found = {view.doc_id: view for view in feed.passages(list(range(1, 9))).values() if view.passages is None}
    assert found["b"].passage(found["b"].passage_id) == HitPassage(0, 0, 5)
    changes = await all_changes(store, feed)
    firsts = set(changes.firsts.tolist())
    (view,) = [each for each in feed.passages(sorted(firsts)).values() if each.doc_id == "a"]
    assert (view.text, view.live) == (LONG, 1)
    assert view.passages is not None
    shown = [view.passage(view.passages[place]) for place in range(0, 9, 3)]
    assert [each.index for each in shown if each] == [0, 1, 2]
    assert [LONG[each.start : each.stop] for each in shown if each] == PARTS


async def test_all_passages_go_with_their_document(store: Store, feed: IndexFeed):
    await ingest_split(store, document("a", LONG), document("b", "short"))
    before = await all_changes(store, feed)
    await store.delete("default", "a")
    after = await all_changes(store, feed)
    assert sorted([*after.removed.tolist(), *after.added.tolist()]) == sorted(before.added.tolist())
    assert len(after.added) == 1
    later, _ = feed.later_passages((await collection(store)).space_id)
    assert later.tolist() == []


async def test_a_newer_version_replaces_all_passages(store: Store, feed: IndexFeed):
    await ingest_split(store, document("a", LONG))
    await ingest_split(store, document("a", "one\n\ntwo"), job_id="job2")
    assert sorted(added(await all_changes(store, feed)).values()) == sorted(map(vector_bytes, ["one", "two"]))


async def test_new_metadata_keeps_the_passages(store: Store, feed: IndexFeed):
    await ingest_split(store, document("a", LONG))
    old = await all_changes(store, feed)
    await store.accept("job2", "default", [document("a", LONG, '{"n":1}')], NOW)
    new = await all_changes(store, feed)
    assert sorted(added(new).values()) == sorted(added(old).values())
    assert not set(new.added.tolist()) & set(old.added.tolist())
    assert len(set(new.firsts.tolist())) == 1


async def test_the_same_text_in_another_format_is_another_content(store: Store, feed: IndexFeed):
    await ingest_split(store, document("a", LONG))
    await store.accept("job2", "default", [document("a", LONG, text_format="markdown")], NOW)
    job = await store.job("job2")
    assert job is not None
    assert job.unchanged == 0
    assert job.processed == 0


async def test_the_same_text_in_another_format_is_split_again(store: Store, feed: IndexFeed):
    await ingest_split(store, document("a", LONG))
    old = await all_changes(store, feed)
    for number, text_format in enumerate(("markdown", "text")):
        await store.accept(f"again{number}", "default", [document("a", LONG, text_format=text_format)], NOW)
        batch = await claim(store)
        assert batch.split is not None
        assert (batch.split.format, [each.text for each in batch.passages]) == (text_format, [LONG])
        assert await store.queue.complete(split(batch)) == 1
    assert sorted(added(await all_changes(store, feed)).values()) == sorted(added(old).values())


async def test_a_document_is_truncated_if_one_of_its_passages_is(store: Store):
    await store.accept("job", "default", [document("a", LONG), document("b", "short")], NOW)
    coverages = [Coverage(), Coverage(truncated=True), Coverage(unknown=0.75), Coverage()]
    await store.queue.complete(split(await claim(store), coverages))
    job = await store.job("job")
    assert job is not None
    assert (job.processed, job.truncated, job.unreadable) == (2, 1, 1)
    view = await store.document("default", "a")
    assert view is not None
    assert view.coverage == Coverage(truncated=True, unknown=0.75)


async def test_a_second_completion_of_a_split_text_changes_nothing(store: Store, feed: IndexFeed):
    await store.accept("job", "default", [document("a", LONG)], NOW)
    embedded = split(await claim(store))
    assert [await store.queue.complete(embedded), await store.queue.complete(embedded)] == [1, 0]
    assert len((await all_changes(store, feed)).added) == 3


async def test_a_text_that_was_not_split_is_one_passage(store: Store, feed: IndexFeed):
    """The embedder may be of an earlier release."""
    await store.accept("job", "default", [document("a", LONG)], NOW)
    batch = await claim(store)
    ids = [each.passage_id for each in batch.passages]
    await store.queue.complete(EmbeddedBatch(batch.collection_id, ids, vectors_of([LONG]), MODEL, FINGERPRINT, NOW))
    assert list(added(await all_changes(store, feed)).values()) == [vector_bytes(LONG)]


def test_the_rows_of_a_batch_follow_its_texts():
    spans = [[Span(0, 1), Span(1, 2)], [Span(0, 5)], [Span(0, 1), Span(1, 2), Span(2, 3)]]
    batch = EmbeddedBatch(1, [7, 8, 9], np.zeros((6, 2), np.float32), MODEL, FINGERPRINT, NOW, spans=spans)
    assert [(number, list(rows)) for number, _, rows in batch.texts()] == [(7, [0, 1]), (8, [2]), (9, [3, 4, 5])]
    assert [list(found) for _, found, _ in batch.texts()] == spans
    whole = EmbeddedBatch(1, [7, 8], np.zeros((2, 2), np.float32), MODEL, FINGERPRINT, NOW)
    assert [(number, list(found), list(rows)) for number, found, rows in whole.texts()] == [(7, [], [0]), (8, [], [1])]
