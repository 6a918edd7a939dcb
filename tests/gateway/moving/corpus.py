"""A store with everything that a store can hold, made through its ports."""

import dataclasses
from pathlib import Path

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.adapters.sqlite import purge
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, close_whole, connect
from tandem_gateway.ports.keys import KeyStore
from tandem_gateway.records.access import ApiKey, Usage
from tandem_gateway.records.chunking import Chunking
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import CollectionChange, EmbeddedBatch, IdempotencyKey, NewDocument, StoredContent
from tandem_gateway.records.job_documents import SkippedDocument
from tandem_gateway.records.limits import parse_limits
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import accept_in_two_passages, collection, embed
from tests.support.fakes import FINGERPRINT, MODEL, vectors_of
from tests.support.reembedding import NEW, fill_second, second_vectors
from tests.support.stores import NOW, claimed, document, embed_pending, ingest, pending_documents

LIMITS = Limits(collections=20, pending_documents=10_000, finished_jobs=1000)


async def fill(backend: Backend, store: Store) -> None:
    """Fill a new store, whose collection ``default`` is empty."""
    await _documents(store)
    await _second_spaces(store)
    await _failures(store)
    await _jobs(store)
    await _pending(backend, store)


async def fill_keys(keys: KeyStore) -> None:
    """Fill a new store of API keys."""
    keys.secret()
    for number in range(3):
        key = ApiKey(f"{number:012x}", f"key {number} ä", "ingest", ("a-*", "b"), bytes([number]) * 32, 100.5 + number)
        limits = parse_limits(["requests=5/second"]) if number == 1 else None
        keys.add(dataclasses.replace(key, filter='{"tenant":"a"}' if number else None, limits=limits))
    keys.rotate(f"{1:012x}", b"r" * 32, NOW)
    keys.revoke(f"{2:012x}", NOW + 1)
    keys.record_uses({f"{0:012x}": NOW + 2})
    keys.add_usage({(19_000, "a"): Usage(3, 4, 5), (19_001, ""): Usage(1, 0, 0)})


def mark_removed(data_dir: Path, name: str) -> None:
    """Delete a collection of a stopped gateway's store, which is killed before it can remove the content."""
    connection = connect(data_dir / FILE_NAME, writable=True)
    connection.execute("BEGIN")
    (number,) = connection.execute("SELECT collection_id FROM collections WHERE name = ?", (name,)).fetchone()
    purge.mark_removed(connection, number)
    connection.execute("COMMIT")
    close_whole(connection)


async def _documents(store: Store) -> None:
    """Live documents with metadata, sources and formats; newer versions, deletions and removals."""
    many = [document(f"d{number:03}", f"text ä {number} 日本", f'{{"n":{number}}}') for number in range(700)]
    await ingest(store, many)
    sourced = dataclasses.replace(document("s1", "# one", '{"k":"v"}', "markdown"), source="shelf", source_hash="1")
    await ingest(store, [sourced, dataclasses.replace(document("s2"), source="shelf")], job_id="sourced")
    await ingest(store, [document("d001", "newer"), document("d002", "text ä 2 日本", '{"n":-2}')], job_id="newer")
    await store.change_metadata("default", "d003", _changed)
    await store.delete("default", "d004")
    space = (await collection(store)).space_id
    await store.forget_removals(space, 703)
    await store.delete("default", "d005")
    await store.put_collection("papers", CollectionChange(chunking=Chunking(max_tokens=64), language="german"))
    await store.put_collection("empty", CollectionChange(chunking=None))
    await store.put_collection("deleted", CollectionChange())
    await store.delete_collection("deleted")


async def _second_spaces(store: Store) -> None:
    for name in ("books", "switched", "doomed"):
        await ingest(store, [document(f"{name}{number}") for number in range(8)], job_id=name, collection=name)
    half = (await store.reembeddings.start("books", NEW)).space
    page = await store.reembeddings.missing(half, 0, 4)
    coverages = [Coverage(truncated=number < 2, unknown=0.25 * number) for number in range(len(page.passages))]
    await store.reembeddings.add(second_vectors(half, page.passages, coverages))
    await store.reembeddings.start("switched", NEW)
    await fill_second(store, "switched")
    await store.reembeddings.switch("switched")


async def _failures(store: Store) -> None:
    """Jobs with failed documents: kept ones, retried ones, and one that another job has retried."""
    for job_id, names in {"failed": "ab", "failed-too": "bc"}.items():
        await store.accept(job_id, "papers", [document(f"bad-{name}", f"bad {name}") for name in names], NOW)
    for passage in await pending_documents(store):
        await store.queue.fail(passage.passage_id, f"refused {passage.text}")
    await store.retry("failed-too", NOW + 3)
    await embed_pending(store)


async def _jobs(store: Store) -> None:
    """Jobs that were cancelled, have a key, or left documents out."""
    skipped = [
        SkippedDocument(0, None, "documents[0].id", "no id"),
        SkippedDocument(2, "x", "documents[2].text", "bad"),
    ]
    await store.accept("keyed", "default", [document("k1"), document("k2")], NOW, IdempotencyKey("key", b"h"), skipped)
    await store.accept("cancelled", "default", [document("c1"), document("c2")], NOW)
    await embed_pending(store, 1)
    await store.cancel("cancelled", NOW + 4)
    await store.accept("none", "default", [], NOW)
    batch = await claimed(store)
    ids = [each.passage_id for each in batch.passages]
    vectors = vectors_of([each.text for each in batch.passages])
    little = [Coverage(truncated=True, unknown=0.75)] * len(ids)
    await store.queue.complete(EmbeddedBatch(batch.collection_id, ids, vectors, MODEL, FINGERPRINT, NOW, little))


async def _pending(backend: Backend, store: Store) -> None:
    """Documents that wait: new ones, newer versions, and one with a vector for one of its two passages."""
    first, _ = await accept_in_two_passages(backend, store, "two", "begin ", "end", job_id="two")
    await embed(store, {first: "begin "})
    await store.accept("waiting", "default", [document("d010", "newer"), document("w1")], NOW, owner="somebody")
    await store.accept("waiting-too", "default", [document("w1"), document("d011", "newer too")], NOW)
    await store.accept("books-too", "books", [document("b", "pending", '{"a":[1,{"b":null}]}')], NOW)
    await store.accept("doomed-too", "doomed", [document("doomed-pending")], NOW)


def _changed(stored: StoredContent) -> NewDocument:
    return document(stored.doc_id, stored.text, '{"changed":true}', stored.format)
