"""The behaviour that all stores share for the sizes of collections."""

import pytest

from tandem_gateway.ports.sizes import SAMPLED_DOCUMENTS
from tests.gateway.ports.backends import Store
from tests.gateway.ports.steps import collection
from tests.support.stores import NOW, document, embed_pending, ingest

NEVER = 2**63 - 1


async def test_a_collection_that_does_not_exist_has_no_size(store: Store):
    assert await store.stored_size("books", 0, 0) is None


async def test_an_empty_collection_has_size_zero(store: Store):
    size = await store.stored_size("default", 0, 0)
    assert size is not None
    assert (size.bytes, size.changes) == (0, 0)


async def test_texts_and_vectors_count(store: Store):
    await store.accept("job", "default", [document("a", "four"), document("b", "\u00e9\u00e9")], NOW)
    waiting = await store.stored_size("default", 0, 0)
    assert waiting is not None
    assert waiting.changes == 0
    assert waiting.bytes == 2 + 8 + 2 * len(document("a").metadata.encode())
    await embed_pending(store)
    size = await store.stored_size("default", 0, 0)
    dim = (await collection(store)).dim
    assert size is not None
    assert dim is not None
    assert size.bytes == waiting.bytes + 2 * 4 * dim
    assert not size.estimated


async def test_the_changes_after_a_position_count(store: Store):
    await ingest(store, [document("a"), document("b"), document("c")])
    await store.delete("default", "a")
    for added, removed, changes in ((0, 0, 3), (0, NEVER, 2), (NEVER, 0, 1), (NEVER, NEVER, 0)):
        size = await store.stored_size("default", added, removed)
        assert size is not None
        assert size.changes == changes


@pytest.mark.parametrize(("count", "estimated"), [(SAMPLED_DOCUMENTS, False), (SAMPLED_DOCUMENTS + 2, True)])
async def test_many_documents_are_estimated_from_some(store: Store, count: int, estimated: bool):
    each = len(b"0000") + 10 + len(document("a").metadata.encode())
    documents = [document(f"{number:04}", "x" * (10 if number % 2 else 12)) for number in range(count)]
    await store.accept("job", "default", documents, NOW)
    size = await store.stored_size("default", 0, 0)
    assert size is not None
    assert (size.bytes, size.estimated) == (count * (each + 1), estimated)


async def test_both_versions_of_a_document_count(store: Store):
    await ingest(store, [document("a", "four"), document("b", "four")])
    before = await store.stored_size("default", 0, 0)
    await store.accept("job2", "default", [document("a", "sixsix")], NOW)
    size = await store.stored_size("default", 0, 0)
    assert before is not None
    assert size is not None
    assert size.bytes == before.bytes + len(b"asixsix") + len(document("a").metadata.encode())
    assert not size.estimated
