"""A snapshot loads exactly as it was saved; any other file is refused before usearch reads it."""

import errno
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchGraph, UsearchGraphFactory
from tandem_gateway.errors import SnapshotUnusable
from tandem_gateway.ports.index import SavedBase
from tandem_gateway.records.index import SNAPSHOT_FORMAT, SnapshotManifest
from tests.support.fakes import DIM, FINGERPRINT, FakeGraphFactory, vectors_of

SPACE = 7
FACTORY = UsearchGraphFactory()


def manifest(position: int = 5, **fields: object) -> SnapshotManifest:
    made = SnapshotManifest(
        format=SNAPSHOT_FORMAT,
        store_id="s" * 32,
        space_id=SPACE,
        collection="books",
        fingerprint=FINGERPRINT,
        dim=DIM,
        description=FACTORY.description(),
        position=position,
        count=5,
        unproven=0,
        files=[],
    )
    return msgspec.structs.replace(made, **fields)


def graph_of(count: int) -> UsearchGraph:
    graph = FACTORY.create(DIM)
    graph.add(np.arange(1, count + 1, dtype=np.uint64), vectors_of([str(number) for number in range(count)]))
    return graph


def filled(count: int = 5, graphs: int = 1) -> SavedBase:
    return SavedBase([graph_of(count) for _ in range(graphs)], {"dead": np.array([3, 4], np.uint64)})


def folder(data_dir: Path) -> Path:
    return data_dir / "index" / str(SPACE)


def saved_file(data_dir: Path) -> Path:
    (path,) = folder(data_dir).glob("*.usearch")
    return path


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    made = Snapshots(tmp_path)
    made.publish(filled(), manifest())
    return made


def loaded_keys(snapshots: Snapshots) -> list[int]:
    loaded = snapshots.load(snapshots.manifest(SPACE), FACTORY, writable=False)
    assert loaded.arrays["dead"].tolist() == [3, 4]
    return sorted(loaded.graphs[0].keys().tolist())


def test_a_published_snapshot_is_loaded(snapshots: Snapshots, tmp_path: Path):
    read = snapshots.manifest(SPACE)
    assert msgspec.structs.replace(read, files=[]) == manifest()
    assert {file.name: file.bytes for file in read.files} == {
        path.name: path.stat().st_size for path in folder(tmp_path).iterdir() if path.name != "manifest.json"
    }
    assert loaded_keys(snapshots) == [1, 2, 3, 4, 5]


def test_the_next_snapshot_takes_the_place_of_the_former(snapshots: Snapshots, tmp_path: Path):
    snapshots.publish(filled(9), manifest(position=11))
    assert snapshots.manifest(SPACE).position == 11
    assert len(loaded_keys(snapshots)) == 9
    assert len(list(folder(tmp_path).iterdir())) == 3


def test_without_a_snapshot_that_is_said(tmp_path: Path):
    with pytest.raises(SnapshotUnusable, match="no snapshot"):
        Snapshots(tmp_path).manifest(SPACE)


def test_two_graphs_are_kept_in_their_order(tmp_path: Path):
    snapshots = Snapshots(tmp_path)
    snapshots.publish(SavedBase([graph_of(5), graph_of(2)], {}), manifest())
    loaded = snapshots.load(snapshots.manifest(SPACE), FACTORY, writable=True)
    assert [len(graph) for graph in loaded.graphs] == [5, 2]


@pytest.mark.parametrize("kind", ["usearch", "npz"])
def test_a_flipped_byte_anywhere_in_a_file_is_noticed(snapshots: Snapshots, tmp_path: Path, kind: str):
    (path,) = folder(tmp_path).glob(f"*.{kind}")
    read, content = snapshots.manifest(SPACE), path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(SnapshotUnusable, match="checksum"):
            snapshots.load(read, FACTORY, writable=False)
    path.write_bytes(content)
    assert loaded_keys(snapshots) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_file_is_noticed(snapshots: Snapshots, tmp_path: Path, length: int):
    path = saved_file(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SnapshotUnusable, match="bytes"):
        loaded_keys(snapshots)


def test_a_longer_file_is_noticed(snapshots: Snapshots, tmp_path: Path):
    with saved_file(tmp_path).open("ab") as file:
        file.write(b"\x00")
    with pytest.raises(SnapshotUnusable, match="bytes"):
        loaded_keys(snapshots)


def test_a_missing_file_is_noticed(snapshots: Snapshots, tmp_path: Path):
    saved_file(tmp_path).unlink()
    with pytest.raises(SnapshotUnusable, match="cannot be loaded"):
        loaded_keys(snapshots)


@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
def test_a_flipped_bit_in_any_byte_of_the_manifest_is_noticed_or_means_nothing(
    snapshots: Snapshots, tmp_path: Path, bit: int
):
    path = folder(tmp_path) / "manifest.json"
    read, content = snapshots.manifest(SPACE), path.read_bytes()
    notices = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= bit
        path.write_bytes(damaged)
        try:
            assert snapshots.manifest(SPACE) == read
        except SnapshotUnusable:
            notices += 1
    assert notices > len(content) * 0.9


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"null", b"[" * 10_000, b'{"manifest":' * 10_000, b"\xff"]
)
def test_an_invalid_manifest_is_detected(snapshots: Snapshots, tmp_path: Path, content: bytes):
    (folder(tmp_path) / "manifest.json").write_bytes(content)
    with pytest.raises(SnapshotUnusable, match="damaged"):
        snapshots.manifest(SPACE)


def test_a_manifest_of_another_format_is_refused(tmp_path: Path):
    snapshots = Snapshots(tmp_path)
    snapshots.publish(filled(), manifest(format=SNAPSHOT_FORMAT + 1))
    with pytest.raises(SnapshotUnusable, match="format"):
        snapshots.manifest(SPACE)


def test_a_snapshot_of_another_library_is_refused(snapshots: Snapshots):
    with pytest.raises(SnapshotUnusable, match="exact 1"):
        snapshots.load(snapshots.manifest(SPACE), FakeGraphFactory(), writable=False)


def test_a_snapshot_whose_dim_differs_from_its_manifest_is_refused(snapshots: Snapshots):
    read = snapshots.manifest(SPACE)
    with pytest.raises(SnapshotUnusable, match="numbers"):
        snapshots.load(msgspec.structs.replace(read, dim=DIM + 1), FACTORY, writable=False)


def test_a_manifest_without_files_is_refused(snapshots: Snapshots):
    read = snapshots.manifest(SPACE)
    with pytest.raises(SnapshotUnusable, match="no files"):
        snapshots.load(msgspec.structs.replace(read, files=[]), FACTORY, writable=False)


class Failing:
    """A graph whose file cannot be written."""

    dim = DIM

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __len__(self) -> int:
        return 1

    def save(self, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise self._error


@pytest.mark.parametrize("error", [RuntimeError("disk full"), OSError(errno.ENOSPC, "disk full")])
def test_a_save_that_fails_leaves_the_former_snapshot(snapshots: Snapshots, tmp_path: Path, error: Exception):
    with pytest.raises(OSError, match="disk full"):
        snapshots.publish(SavedBase([graph_of(2), Failing(error)], {}), manifest(position=99))  # type: ignore[list-item]
    assert loaded_keys(snapshots) == [1, 2, 3, 4, 5]
    assert len(list(folder(tmp_path).iterdir())) == 3


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_disk_that_fails_to_sync_leaves_a_good_snapshot(
    snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
):
    calls = iter(range(1, 100))
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if next(calls) == call:
            raise OSError(errno.EIO, "cannot sync")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="cannot sync"):
        snapshots.publish(filled(9), manifest(position=11))
    # Before its rename the previous snapshot counts, afterwards the new one; there is always one.
    assert len(loaded_keys(snapshots)) == (9 if call == 4 else 5)


def test_a_snapshot_that_is_removed_is_none(snapshots: Snapshots):
    snapshots.remove(SPACE)
    snapshots.remove(SPACE)
    with pytest.raises(SnapshotUnusable, match="no snapshot"):
        snapshots.manifest(SPACE)


def test_a_snapshot_of_the_first_format_is_called_by_its_format(tmp_path: Path):
    folder(tmp_path).mkdir(parents=True)
    (folder(tmp_path) / "manifest.json").write_bytes(b'{"manifest": {"format": 1, "file": "x"}, "sha256": "x"}')
    with pytest.raises(SnapshotUnusable, match="format 1"):
        Snapshots(tmp_path).manifest(SPACE)


def test_folders_without_a_collection_are_removed(snapshots: Snapshots, tmp_path: Path):
    root = tmp_path / "index"
    (root / "99").mkdir()
    (root / "99" / "5-abc.usearch").write_bytes(b"x")
    (root / "note.txt").write_bytes(b"x")
    assert snapshots.remove_orphans([SPACE]) == ["99", "note.txt"]
    assert [path.name for path in root.iterdir()] == [str(SPACE)]
    assert len(loaded_keys(snapshots)) == 5


def test_without_a_folder_there_are_no_orphans(tmp_path: Path):
    assert Snapshots(tmp_path / "nowhere").remove_orphans([1]) == []
