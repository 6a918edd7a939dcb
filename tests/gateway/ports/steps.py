"""Steps that several conformance suites share."""

import numpy as np

from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.documents import CollectionRecord, EmbeddedBatch
from tandem_gateway.records.index import Changes
from tests.gateway.ports.backends import Backend, Store
from tests.support.fakes import FINGERPRINT, MODEL, vectors_of
from tests.support.stores import NOW, document, pending_documents


async def collection(store: Store, name: str = "default") -> CollectionRecord:
    return next(record for record in await store.collections() if record.name == name)


async def counts(store: Store, name: str = "default") -> tuple[int, int]:
    """Return the numbers of live and pending documents; zeros for a collection that does not exist."""
    for record in await store.collections():
        if record.name == name:
            return record.live, record.pending
    return 0, 0


async def accept_in_two_passages(backend: Backend, store: Store, doc_id: str, *texts: str, job_id: str) -> list[int]:
    """Accept a document whose text is the two texts, one a passage; return the passages' ids."""
    first, second = texts
    await store.accept(job_id, "default", [document(doc_id, first + second)], NOW)
    (whole,) = [each for each in await pending_documents(store) if each.text == first + second]
    backend.add_passage(store, whole.passage_id, len(first))
    found = {each.text: each.passage_id for each in await pending_documents(store)}
    return [found[first], found[second]]


async def embed(store: Store, passages: dict[int, str], fingerprint: str = FINGERPRINT) -> int:
    """Give passages of ``default`` the vectors of these texts, and return how many documents went live."""
    record = await collection(store)
    batch = EmbeddedBatch(
        record.collection_id, list(passages), vectors_of(list(passages.values())), MODEL, fingerprint, NOW + 1
    )
    return await store.queue.complete(batch)


async def all_changes(store: Store, feed: IndexFeed, name: str = "default", after: int = 0) -> Changes:
    """Return a collection's changes after a change number, in one page."""
    found = feed.changes(await collection(store, name), after=after, removals_after=after, limit=1000)
    assert found is not None
    assert found.complete
    return found


def added(changes: Changes) -> dict[int, bytes]:
    """Return the added passages with their vectors."""
    return dict(zip(changes.added.tolist(), (row.astype("<f4").tobytes() for row in changes.vectors), strict=True))


def vector_bytes(text: str) -> bytes:
    return np.asarray(vectors_of([text])[0], dtype="<f4").tobytes()
