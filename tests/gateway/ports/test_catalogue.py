"""The behaviour that all stores share for collections: they appear, are listed, are limited, and go."""

import pytest

from tandem_gateway.adapters.limits import Limits
from tandem_gateway.errors import Conflict, InvalidRequest, Overloaded
from tandem_gateway.records.chunking import DEFAULT_CHUNKING, Chunking
from tandem_gateway.records.documents import CollectionChange, JobRecord
from tests.gateway.ports.backends import Backend, Store
from tests.gateway.ports.steps import collection, counts
from tests.support.fakes import eventually
from tests.support.stores import NOW, complete, document, embed_pending, ingest, pending_documents


async def names(store: Store) -> list[str]:
    return [record.name for record in await store.collections()]


async def finished(store: Store, job_id: str) -> JobRecord:
    async def job() -> JobRecord:
        found = await store.job(job_id)
        assert found is not None
        return found

    return await eventually(job, lambda job: job.finished_at is not None)


async def test_a_new_store_has_the_default_collection_alone(store: Store):
    assert await names(store) == ["default"]
    record = await collection(store)
    assert (record.live, record.pending, record.fingerprint, record.dim) == (0, 0, None, None)


async def test_the_first_documents_create_a_collection_and_its_deletion_deletes_them_all(store: Store):
    await ingest(store, [document("a"), document("b")], collection="books")
    await store.accept("job2", "books", [document("b", "newer"), document("c")], NOW)
    assert await counts(store, "books") == (2, 2)
    assert await store.delete_collection("books")
    assert not await store.delete_collection("books")
    assert not await store.delete("books", "a")
    assert await store.document("books", "a") is None
    assert await pending_documents(store, 10) == []
    assert await names(store) == ["default"]
    job = await finished(store, "job2")
    assert (job.processed, job.failed) == (2, 0)


async def test_vectors_for_a_deleted_collection_are_skipped(store: Store):
    await store.accept("job", "books", [document("a")], NOW)
    batch = await store.queue.claim("test", 10, 60.0)
    assert batch is not None
    await store.delete_collection("books")
    assert await complete(store, batch) == 0
    await store.queue.fail(batch.passages[0].passage_id, "too late")
    assert (await finished(store, "job")).failed == 0


async def test_a_collection_that_comes_again_has_other_numbers_and_may_have_another_model(store: Store):
    await ingest(store, [document("a"), document("b")], collection="books")
    first = await collection(store, "books")
    await store.delete_collection("books")
    await store.accept("job2", "books", [document("a", "other")], NOW)
    await embed_pending(store, fingerprint="another")
    second = await collection(store, "books")
    assert second.collection_id > first.collection_id
    assert second.space_id > first.space_id
    assert (second.fingerprint, second.live, second.pending) == ("another", 1, 0)
    view = await store.document("books", "a")
    assert view is not None
    assert view.text == "other"
    assert await store.document("books", "b") is None


async def test_one_id_in_two_collections_is_two_documents(store: Store):
    await ingest(store, [document("a", "one")])
    await ingest(store, [document("a", "two")], job_id="job2", collection="books")
    assert await store.delete("default", "a")
    view = await store.document("books", "a")
    assert view is not None
    assert view.text == "two"


async def test_more_collections_than_allowed_are_refused_by_name(store: Store):
    for number in range(4):
        await store.accept(f"job{number}", f"c{number}", [document("a")], NOW)
    with pytest.raises(InvalidRequest, match="TANDEM_MAX_COLLECTIONS") as caught:
        await store.accept("job9", "one-more", [document("a")], NOW)
    assert (caught.value.param, caught.value.code) == ("collection", "limit_exceeded")
    assert await store.job("job9") is None
    await store.accept("job5", "c0", [document("b")], NOW)
    assert await names(store) == ["c0", "c1", "c2", "c3", "default"]


async def test_more_waiting_documents_than_allowed_are_refused_whole(backend: Backend):
    store = backend.open(Limits(collections=5, pending_documents=3, finished_jobs=10))
    await store.accept("job", "default", [document("a"), document("b")], NOW)
    with pytest.raises(Overloaded, match="TANDEM_MAX_PENDING_DOCUMENTS"):
        await store.accept("job2", "other", [document("c"), document("d")], NOW)
    assert await store.job("job2") is None
    assert await names(store) == ["default"]
    await embed_pending(store)
    assert (await store.accept("job3", "default", [document("c"), document("d")], NOW)).total == 2


async def test_a_deleted_collection_does_not_count_for_the_limits(backend: Backend):
    store = backend.open(Limits(collections=2, pending_documents=3, finished_jobs=100))
    await store.accept("one", "books", [document(f"p{number}") for number in range(3)], NOW)
    await store.delete_collection("books")
    await store.accept("two", "others", [document(f"p{number}") for number in range(3)], NOW)


WHOLE = CollectionChange(chunking=None)
SHORT = Chunking(64, 8)


async def test_a_collection_is_made_with_settings(store: Store):
    record = await store.put_collection("books", CollectionChange(SHORT))
    assert (record.name, record.chunking, record.live, record.pending) == ("books", SHORT, 0, 0)
    assert await collection(store, "books") == record
    assert (await store.put_collection("others", CollectionChange())).chunking == DEFAULT_CHUNKING
    assert await names(store) == ["books", "default", "others"]


async def test_settings_change_while_there_are_no_documents(store: Store):
    await store.put_collection("books", CollectionChange(SHORT))
    assert (await store.put_collection("books", WHOLE)).chunking is None
    assert (await store.put_collection("books", CollectionChange())).chunking is None
    await store.accept("job", "books", [document("a")], NOW)
    batch = await store.queue.claim("test", 10, 60.0)
    assert batch is not None
    assert batch.split is None


async def test_documents_keep_the_settings_they_were_split_by(store: Store):
    await store.accept("job", "books", [document("a")], NOW)
    with pytest.raises(Conflict, match="chunking: collection 'books' has documents"):
        await store.put_collection("books", WHOLE)
    await ingest(store, [document("b")], job_id="job2", collection="books")
    with pytest.raises(Conflict):
        await store.put_collection("books", WHOLE)
    assert (await store.put_collection("books", CollectionChange(DEFAULT_CHUNKING))).chunking == DEFAULT_CHUNKING
    for doc_id in ("a", "b"):
        await store.delete("books", doc_id)
    assert (await store.put_collection("books", WHOLE)).chunking is None


async def test_a_collection_with_settings_counts_as_a_collection(backend: Backend):
    store = backend.open(Limits(collections=2, pending_documents=10, finished_jobs=10))
    await store.put_collection("books", WHOLE)
    with pytest.raises(InvalidRequest, match="collection"):
        await store.put_collection("others", WHOLE)
    assert (await store.put_collection("books", CollectionChange())).chunking is None


async def test_a_collection_has_a_language_that_may_change_with_documents(store: Store):
    await ingest(store, [document("a")])
    assert (await collection(store)).language == "english"
    changed = await store.put_collection("default", CollectionChange(language="german"))
    assert (changed.language, changed.live) == ("german", 1)
    assert await collection(store) == changed
    assert (await store.put_collection("default", CollectionChange())).language == "german"
    made = await store.put_collection("books", CollectionChange(language="none"))
    assert (made.language, made.chunking) == ("none", DEFAULT_CHUNKING)
