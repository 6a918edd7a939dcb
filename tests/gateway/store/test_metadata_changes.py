"""Changes of metadata alone in SQLite: restarts and damage."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.records.documents import NewDocument, StoredContent
from tests.support.stores import NOW, damage, document, dump, embed_pending, ingest, opened


def to(metadata: str) -> Callable[[StoredContent], NewDocument]:
    return lambda stored: document(stored.doc_id, stored.text, metadata, stored.format)


async def test_a_change_survives_a_restart_and_so_does_its_hash(tmp_path: Path):
    with opened(tmp_path) as store:
        await ingest(store, [document("a", "live", '{"k":1}')])
        await store.accept("job2", "default", [document("b", "waits", '{"k":1}')], NOW)
        for doc_id in ("a", "b"):
            await store.change_metadata("default", doc_id, to('{"k":2}'))
    with opened(tmp_path) as store:
        for doc_id in ("a", "b"):
            found = await store.document("default", doc_id)
            assert found is not None
            assert found.metadata == '{"k":2}'
        same = await store.accept("job3", "default", [document("a", "live", '{"k":2}')], NOW)
        assert same.unchanged == 1
        assert await embed_pending(store) == 1


async def test_a_damaged_document_is_not_made_right_by_a_change(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document("a")])
    damage(store, "a")
    before = dump(tmp_path)["documents"]
    with pytest.raises(StorageCorrupt):
        await store.change_metadata("default", "a", to('{"k":2}'))
    assert dump(tmp_path)["documents"] == before
