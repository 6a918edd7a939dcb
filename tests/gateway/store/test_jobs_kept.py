"""Finished jobs: the newest stay, within a bound; a job that is not finished is never forgotten."""

from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import store as store_module
from tandem_gateway.adapters.sqlite import writes
from tandem_gateway.adapters.sqlite.store import SqliteStore
from tests.support.fakes import run
from tests.support.stores import LIMITS, NOW, document, dump, ingest, opened

FEW = writes.Limits(LIMITS.collections, LIMITS.pending_documents, finished_jobs=3)


async def unchanged(store: SqliteStore, name: str, at: float) -> None:
    assert (await store.accept(name, "default", [document("a")], at)).finished_at == at


def jobs(data_dir: Path) -> list[str]:
    return sorted(row[0] for row in dump(data_dir)["jobs"])


def test_an_unchanged_document_over_and_over_leaves_a_bounded_number_of_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "_JOBS_BETWEEN_LOOKS", 4)

    async def test() -> None:
        await ingest(store, [document("a")], "first")
        await store.accept("waits", "other", [document("b")], NOW)
        for number in range(100, 150):
            await unchanged(store, str(number), 2 * NOW + number)
            assert len(jobs(tmp_path)) <= 3 + 4 + 1
        assert await store.job("149") is not None
        assert await store.job("100") is None
        assert await store.job("first") is None
        await store.forget_jobs(0.0)

    with opened(tmp_path, FEW) as store:
        run(test)
    assert jobs(tmp_path) == ["147", "148", "149", "waits"]


def test_many_are_dropped_in_several_writes_with_their_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writes, "JOBS_AT_ONCE", 2)

    async def test() -> None:
        await ingest(store, [document("a")], "0")
        await store.accept("1", "default", [document("b")], NOW)
        (waiting,) = (await store.pending(after=0, limit=9, without=())).documents
        await store.fail(waiting.row_id, "refused")
        for number in range(2, 8):
            await unchanged(store, str(number), 2 * NOW + number)
        commits = store.commits
        assert await store.forget_jobs(0.0) == 5
        assert store.commits == commits + 3
        assert await store.forget_jobs(2 * NOW + 7) == 2
        assert await store.forget_jobs(3 * NOW) == 1

    with opened(tmp_path, FEW) as store:
        run(test)
    assert jobs(tmp_path) == []
    assert dump(tmp_path)["failures"] == []
