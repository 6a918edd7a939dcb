"""The index's thread and snapshots: a startup loads, rebuilds or refuses them; a save removes old ones."""

from pathlib import Path

import msgspec
import pytest

from tandem_gateway import maintenance
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tandem_gateway.errors import SnapshotUnusable
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.records.documents import EmbeddedBatch
from tandem_gateway.records.notices import RoutineNotice
from tests.gateway.index.threads import SMALL, hits, start
from tests.support.fakes import WAIT_SECONDS, paragraphs, vectors_of
from tests.support.stores import FINGERPRINT, MODEL, NOW, document, ingest, opened


async def test_a_start_loads_the_snapshot_and_applies_later_changes(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(10)])
    saved = maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    assert [one.graph for one in saved] == [True]
    await store.delete("default", "d3")
    await ingest(store, [document("late")], job_id="job2")
    thread, notices = start(tmp_path)
    assert notices == []
    assert hits(thread, "text of late")[0].doc_id == "late"
    assert len(hits(thread, "text of d3", 100)) == 10
    thread.close()


@pytest.mark.parametrize("damage", ["flipped", "gone", "manifest", "arrays"])
async def test_a_start_with_a_damaged_snapshot_rebuilds_the_index_and_reports_it(
    store: SqliteStore, tmp_path: Path, damage: str
):
    await ingest(store, [document(f"d{number}") for number in range(10)])
    maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    kinds = {"manifest": "json", "arrays": "npz"}
    (path,) = (tmp_path / "index").glob(f"*/*.{kinds.get(damage, 'usearch')}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.unlink()
    if damage != "gone":
        path.write_bytes(content)
    thread, notices = start(tmp_path)
    assert len(notices) == 1
    assert "'default' is rebuilt from the store" in notices[0]
    assert hits(thread, "text of d7")[0].doc_id == "d7"
    thread.close()


async def test_a_snapshot_that_a_helper_built_is_adopted(store: SqliteStore, thread: IndexThread, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(6)])
    (state,) = thread.state().result(WAIT_SECONDS)
    assert (state.count, state.exact, state.new, state.saved) == (6, 6, 6, 0)
    (saved,) = maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    await store.delete("default", "d1")
    await ingest(store, [document("late")], job_id="job2")
    thread.adopt(state.space_id, *thread.load_base(state.space_id)).result(WAIT_SECONDS)
    assert {hit.doc_id for hit in hits(thread, "text of d1", 9)} == {"d0", "d2", "d3", "d4", "d5", "late"}
    (state,) = thread.state().result(WAIT_SECONDS)
    assert (state.count, state.exact, state.new, state.saved) == (6, 1, 1, saved.position)


async def test_a_snapshot_that_is_ahead_of_the_index_is_adopted(
    store: SqliteStore, thread: IndexThread, tmp_path: Path
):
    async def add(doc_id: str, text: str) -> None:
        """Store a document with several passages."""
        await store.accept(f"job of {doc_id}", "default", [document(doc_id, text)], NOW)
        batch = await store.queue.claim("test", 10, 60.0)
        assert batch is not None
        spans = [paragraphs(waiting.text) for waiting in batch.passages]
        vectors = vectors_of(text.split("\n\n"))
        rows = [waiting.passage_id for waiting in batch.passages]
        embedded = EmbeddedBatch(batch.collection_id, rows, vectors, MODEL, FINGERPRINT, NOW, spans=spans)
        assert await store.queue.complete(embedded) == 1

    await ingest(store, [document(f"d{number}") for number in range(4)])
    await add("known", "a part\n\nthe rest")
    (state,) = thread.state().result(WAIT_SECONDS)
    await add("new", "one part\n\nanother part")
    maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    thread.adopt(state.space_id, *thread.load_base(state.space_id)).result(WAIT_SECONDS)
    found = [hit.doc_id for hit in hits(thread, "one part", 9)]
    assert sorted(found) == ["d0", "d1", "d2", "d3", "known", "new"]


async def test_a_snapshot_of_another_store_is_not_adopted(store: SqliteStore, thread: IndexThread, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(6)])
    (state,) = thread.state().result(WAIT_SECONDS)
    maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    base, manifest = thread.load_base(state.space_id)
    other = msgspec.structs.replace(manifest, store_id="x")
    with pytest.raises(SnapshotUnusable):
        thread.adopt(state.space_id, base, other).result(WAIT_SECONDS)
    assert len(hits(thread, "text of d1", 9)) == 6


async def test_a_start_without_a_snapshot_that_is_far_behind_builds_one(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tandem_gateway.index.followed._MAX_NEW_AT_START", 3)

    await ingest(store, [document(f"d{number}") for number in range(6)])
    thread, notices = start(tmp_path)
    (state,) = thread.state().result(WAIT_SECONDS)
    assert (state.exact, state.saved > 0, notices) == (0, True, [])
    assert [hit.doc_id for hit in hits(thread, "text of d4", 1)] == ["d4"]
    thread.close()


async def test_the_snapshots_of_deleted_collections_go_with_the_next_save(store: SqliteStore, tmp_path: Path):
    await ingest(store, [document(f"d{number}") for number in range(6)], collection="gone")
    maintenance.snapshot(tmp_path, SMALL, lambda: True, lambda line: None)
    assert len(list((tmp_path / "index").iterdir())) == 1
    await store.delete_collection("gone")
    said: list[str] = []
    maintenance.snapshot(tmp_path, SMALL, lambda: True, said.append)
    assert list((tmp_path / "index").iterdir()) == []
    assert "a collection that is gone" in said[0]


async def test_a_snapshot_of_an_older_release_is_no_damage_and_goes_with_the_next_save(tmp_path: Path):
    said: list[str] = []
    with opened(tmp_path) as store:
        await ingest(store, [document("a")])
        (record,) = await store.collections()
        older = tmp_path / "index" / str(record.space_id)
        older.mkdir(parents=True)
        (older / "manifest.json").write_bytes(b'{"manifest":{"format":1},"sha256":""}')
        thread, notices = start(tmp_path)
        thread.close()
        assert [isinstance(line, RoutineNotice) for line in notices] == [True]
    assert maintenance.verify(tmp_path, said.append), said
    maintenance.snapshot(tmp_path, Sizes(), lambda: True, said.append)
    assert not older.exists()
