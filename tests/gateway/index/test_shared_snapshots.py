"""Shared snapshots: a fresh gateway loads one, refuses what is not sound, and finds every live document."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.adapters.shared_folder import SharedFolder
from tandem_gateway.errors import StorageUnavailable
from tests.gateway.index.sharing import Member, members
from tests.gateway.index.threads import hits
from tests.support.fakes import FakeGraphFactory, run, vector_of
from tests.support.stores import LIMITS, document, ingest


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(limits=LIMITS, batch_bytes=1 << 20)


@pytest.fixture
def three(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Member]]:
    # A start that lags further than this behind its snapshot looks for a shared one.
    monkeypatch.setattr("tandem_gateway.index.followed._MAX_NEW_AT_START", 3)
    with members(store, tmp_path, 3) as made:
        yield made


async def fill(store: MemoryStore, begin: int, end: int) -> None:
    await ingest(store, [document(f"d{number}") for number in range(begin, end)], job_id=f"job {begin}")


def found(member: Member, name: str, top_k: int = 1) -> list[str]:
    assert member.thread is not None
    return [hit.doc_id for hit in hits(member.thread, f"text of {name}", top_k)]


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "shared").rglob("*") if path.is_file())


async def test_a_fresh_gateway_loads_a_shared_snapshot_and_follows_the_changes_since_then(
    store: MemoryStore, three: list[Member]
):
    builder, fresh, _ = three
    await fill(store, 0, 10)
    assert builder.build_and_publish()
    await store.delete("default", "d3")
    await fill(store, 10, 12)
    assert fresh.start() == []
    assert fresh.outcomes == ["loaded"]
    state = fresh.state()
    assert (state.count, state.exact, state.new) == (11, 2, 2)
    assert [found(fresh, f"d{number}") for number in (0, 11)] == [["d0"], ["d11"]]
    assert "d3" not in found(fresh, "d3", 12)
    # From now on it has a snapshot of its own: the next start needs no other.
    fresh.close()
    assert fresh.start() == []
    assert fresh.outcomes == ["loaded"]


async def test_a_running_gateway_takes_over_a_newer_snapshot_and_only_a_newer_one(
    store: MemoryStore, three: list[Member]
):
    builder, other, _ = three
    await fill(store, 0, 6)
    builder.build_and_publish()
    other.start()
    await fill(store, 6, 20)
    await store.delete("default", "d1")
    assert other.state().exact == 14
    assert other.take_over() is None
    builder.build_and_publish()
    assert other.take_over() is not None
    state = other.state()
    assert (state.count, state.new) == (19, 0)
    assert [found(other, f"d{number}") for number in (0, 19)] == [["d0"], ["d19"]]
    assert "d1" not in found(other, "d1", 20)
    assert other.take_over() is None


@pytest.mark.parametrize("published", [True, False])
async def test_a_gateway_that_slept_past_the_removals_takes_another_snapshot_or_builds(
    store: MemoryStore, three: list[Member], published: bool
):
    builder, sleeper, _ = three
    await fill(store, 0, 8)
    builder.build_and_publish()
    sleeper.start()
    sleeper.close()
    await store.delete("default", "d1")
    feed = store.open_feed()
    if published:
        builder.build_and_publish()
    else:
        builder.shared._registry._rows.clear()  # type: ignore[attr-defined]
    await store.delete("default", "d2")
    (record,) = feed.spaces().all()
    # The store forgets the first removal, which the sleeper has not seen.
    assert await store.forget_removals(record.space_id, feed.last_change() - 1) == 1
    assert sleeper.start() == []
    assert sleeper.outcomes == ["loaded", "loaded"][: 1 + published]
    assert (sleeper.state().count, sleeper.state().new) == (6, 0)
    assert sorted(found(sleeper, "d1", 9)) == ["d0", "d3", "d4", "d5", "d6", "d7"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize("harm", [flip, cut, grow, Path.unlink])
@pytest.mark.parametrize("kind", ["usearch", "npz"])
async def test_a_damaged_snapshot_is_refused_and_the_one_before_is_loaded(
    store: MemoryStore, three: list[Member], tmp_path: Path, harm: Callable[[Path], None], kind: str
):
    builder, fresh, late = three
    await fill(store, 0, 8)
    builder.build_and_publish()
    before = files(tmp_path)
    await fill(store, 8, 10)
    builder.build_and_publish()
    (newer,) = [path for path in files(tmp_path) if path not in before and path.suffix == f".{kind}"]
    harm(newer)
    assert fresh.start() == []
    assert fresh.outcomes == ["refused", "loaded"]
    assert (fresh.state().count, fresh.state().new) == (10, 2)
    # Without one before, a gateway builds its own.
    for path in before:
        flip(path)
    late.start()
    assert late.outcomes == ["refused", "refused"]
    assert (late.state().count, late.state().new, found(late, "d9")) == (10, 0, ["d9"])


async def test_a_snapshot_of_another_store_or_library_is_refused(
    store: MemoryStore, three: list[Member], tmp_path: Path
):
    builder, fresh, _ = three
    await fill(store, 0, 8)
    builder.build_and_publish()
    registry = builder.shared._registry
    other = Member(store, tmp_path / "other", registry, SharedFolder(tmp_path / "shared"), FakeGraphFactory("other 2"))
    other.start()
    assert other.outcomes == ["refused"]
    assert (other.state().count, found(other, "d5")) == (8, ["d5"])
    other.close()
    registry.store_id = lambda: "another"  # type: ignore[attr-defined]
    fresh.start()
    assert fresh.outcomes == ["refused"]
    assert (fresh.state().count, found(fresh, "d5")) == (8, ["d5"])


async def test_a_builder_that_ends_in_between_leaves_files_that_the_next_one_removes(
    store: MemoryStore, three: list[Member], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, second, _ = three
    await fill(store, 0, 8)
    manifest = first.build()
    assert first.shared.elect()
    assert not second.shared.elect()

    class Killed(BaseException):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    # In the first file, before the files are compared, and before the row.
    for target, method in ((SharedFolder, "_pieces"), (SharedFolder, "read"), (first.shared._registry, "publish")):
        with monkeypatch.context() as patched:
            patched.setattr(target, method, killed)
            with pytest.raises(Killed):
                first.shared.publish(manifest)
    left = files(tmp_path)
    assert len(left) == 1 + 2 * len(manifest.files)
    assert first.shared.newest() == {}
    # The lease of the first ends, and the second one publishes and tidies.
    first.shared._registry.resign(first.shared._owner)
    assert second.build_and_publish()
    published = [path for path in files(tmp_path) if path not in left]
    assert second.shared.tidy() == len(left)
    assert files(tmp_path) == published
    # The first one believes that it builds still. Nothing that it does has an effect.
    assert not first.shared.publish(manifest)
    assert first.outcomes == ["failed"]
    assert first.shared.tidy() == 0
    assert set(published) <= set(files(tmp_path))
    assert len(first.shared.newest()) == 1
    # What it has left goes with the next look of the builder.
    assert second.shared.tidy() == len(manifest.files)
    assert files(tmp_path) == published


async def test_files_that_are_not_stored_as_sent_are_not_published(
    store: MemoryStore, three: list[Member], monkeypatch: pytest.MonkeyPatch
):
    builder = three[0]
    await fill(store, 0, 8)
    builder.shared.elect()
    write = SharedFolder.write

    def damaging(files: SharedFolder, name: str, source: Path) -> None:
        write(files, name, source)
        flip(files._root / name)

    monkeypatch.setattr(SharedFolder, "write", damaging)
    with pytest.raises(StorageUnavailable, match="not stored as it was sent"):
        builder.shared.publish(builder.build())
    assert builder.shared.newest() == {}


async def test_a_volume_that_is_not_mounted_gets_no_files(store: MemoryStore, three: list[Member], tmp_path: Path):
    builder = three[0]
    await fill(store, 0, 8)
    (tmp_path / "shared").rmdir()
    builder.shared.elect()
    with pytest.raises(StorageUnavailable):
        builder.shared.publish(builder.build())
    assert not (tmp_path / "shared").exists()


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 30), min_size=1, max_size=12)),
        st.tuples(st.just("delete"), st.lists(st.integers(0, 30), min_size=1, max_size=6)),
        st.tuples(st.just("publish"), st.just([])),
        st.tuples(st.just("take over"), st.just([])),
    ),
    max_size=12,
)


@given(operations=operations)
@settings(max_examples=25)
def test_a_loaded_snapshot_and_its_overlay_find_what_one_exact_index_finds(operations: list[tuple[str, list[int]]]):
    """Five texts have copies, so that vectors are equal; the graphs are so small that a search may miss no vector."""

    async def check(folder: Path) -> None:
        store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
        live: dict[str, str] = {}
        with members(store, folder, 2) as (builder, reader):
            await ingest(store, [document("first", "text of a first")], job_id="first")
            live["first"] = "text of a first"
            reader.start()
            for number, (operation, names) in enumerate([*operations, ("publish", []), ("take over", [])]):
                if operation == "add":
                    new = {f"d{name}": f"text {name % 5 if name > 20 else name} of {number % 3}" for name in names}
                    await ingest(store, [document(*each) for each in new.items()], job_id=f"job {number}")
                    live |= new
                elif operation == "delete":
                    for name in names:
                        await store.delete("default", f"d{name}")
                        live.pop(f"d{name}", None)
                elif operation == "publish" and len(live) > 1:
                    builder.build_and_publish()
                elif operation == "take over":
                    reader.take_over()
                assert_finds(reader, live)

    with tempfile.TemporaryDirectory() as folder:
        run(lambda: check(Path(folder)))


def assert_finds(member: Member, live: dict[str, str]) -> None:
    """Compare a search for every live text with the scores of all live texts."""
    assert member.thread is not None
    vectors = {name: vector_of(text).astype(np.float64) for name, text in live.items()}
    for text in set(live.values()):
        query = vector_of(text).astype(np.float64)
        scores = {name: round(float(vector @ query), 6) for name, vector in vectors.items()}
        answer = hits(member.thread, text, len(live) + 1)
        assert {hit.doc_id for hit in answer} == set(live)
        assert [hit.score for hit in answer] == pytest.approx(sorted(scores.values(), reverse=True), abs=2e-6)
        (top,) = hits(member.thread, text, 1)
        assert live[top.doc_id] == text
