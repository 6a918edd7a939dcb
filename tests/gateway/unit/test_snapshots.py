"""Snapshots: what is loaded is what was saved, and anything else is refused before the library sees it."""

import errno
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchIndex, UsearchIndexFactory
from tandem_gateway.errors import SnapshotUnusable
from tandem_gateway.model import SNAPSHOT_FORMAT, SnapshotManifest
from tests.support.fakes import DIM, FINGERPRINT, ExactIndexFactory, vectors_of

COLLECTION = 7
FACTORY = UsearchIndexFactory()


def manifest(position: int = 5, **fields: object) -> SnapshotManifest:
    made = SnapshotManifest(
        format=SNAPSHOT_FORMAT,
        store_id="s" * 32,
        collection_id=COLLECTION,
        collection="books",
        fingerprint=FINGERPRINT,
        dim=DIM,
        description=FACTORY.description(),
        position=position,
        count=0,
        removed=2,
        file="",
        bytes=0,
        sha256="",
    )
    return msgspec.structs.replace(made, **fields)


def filled(count: int = 5) -> UsearchIndex:
    index = FACTORY.create(DIM)
    index.add(np.arange(1, count + 1, dtype=np.uint64), vectors_of([str(number) for number in range(count)]))
    return index


def folder(data_dir: Path) -> Path:
    return data_dir / "index" / str(COLLECTION)


def saved_file(data_dir: Path) -> Path:
    (path,) = folder(data_dir).glob("*.usearch")
    return path


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    made = Snapshots(tmp_path)
    made.publish(filled(), manifest())
    return made


def loaded_keys(snapshots: Snapshots) -> list[int]:
    return sorted(snapshots.load(snapshots.manifest(COLLECTION), FACTORY).keys().tolist())


def test_what_was_published_is_loaded(snapshots: Snapshots, tmp_path: Path):
    read = snapshots.manifest(COLLECTION)
    assert msgspec.structs.replace(read, file="", bytes=0, sha256="", count=0) == manifest()
    assert (read.count, read.file, read.bytes) == (5, saved_file(tmp_path).name, saved_file(tmp_path).stat().st_size)
    assert loaded_keys(snapshots) == [1, 2, 3, 4, 5]


def test_the_next_snapshot_takes_the_place_of_the_former(snapshots: Snapshots, tmp_path: Path):
    snapshots.publish(filled(9), manifest(position=11))
    assert snapshots.manifest(COLLECTION).position == 11
    assert len(loaded_keys(snapshots)) == 9
    assert {path.name for path in folder(tmp_path).iterdir()} == {saved_file(tmp_path).name, "manifest.json"}


def test_without_a_snapshot_that_is_said(tmp_path: Path):
    with pytest.raises(SnapshotUnusable, match="no snapshot"):
        Snapshots(tmp_path).manifest(COLLECTION)


def test_a_flipped_byte_anywhere_in_the_file_is_noticed(snapshots: Snapshots, tmp_path: Path):
    path = saved_file(tmp_path)
    read, content = snapshots.manifest(COLLECTION), path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(SnapshotUnusable, match="checksum"):
            snapshots.load(read, FACTORY)
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
    read, content = snapshots.manifest(COLLECTION), path.read_bytes()
    noticed = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= bit
        path.write_bytes(damaged)
        try:
            assert snapshots.manifest(COLLECTION) == read
        except SnapshotUnusable:
            noticed += 1
    assert noticed > len(content) * 0.9


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"null", b"[" * 10_000, b'{"manifest":' * 10_000, b"\xff"]
)
def test_what_is_no_manifest_is_noticed(snapshots: Snapshots, tmp_path: Path, content: bytes):
    (folder(tmp_path) / "manifest.json").write_bytes(content)
    with pytest.raises(SnapshotUnusable, match="damaged"):
        snapshots.manifest(COLLECTION)


def test_a_manifest_of_another_format_is_refused(tmp_path: Path):
    snapshots = Snapshots(tmp_path)
    snapshots.publish(filled(), manifest(format=SNAPSHOT_FORMAT + 1))
    with pytest.raises(SnapshotUnusable, match="format"):
        snapshots.manifest(COLLECTION)


def test_a_snapshot_of_another_library_is_refused(snapshots: Snapshots):
    with pytest.raises(SnapshotUnusable, match="exact 1"):
        snapshots.load(snapshots.manifest(COLLECTION), ExactIndexFactory())


def test_a_snapshot_with_another_count_or_dim_than_its_manifest_says_is_refused(snapshots: Snapshots):
    read = snapshots.manifest(COLLECTION)
    with pytest.raises(SnapshotUnusable, match="5 vectors"):
        snapshots.load(msgspec.structs.replace(read, count=4), FACTORY)
    with pytest.raises(SnapshotUnusable, match="numbers"):
        snapshots.load(msgspec.structs.replace(read, dim=DIM + 1), FACTORY)


class Failing:
    """An index whose file cannot be written."""

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
        snapshots.publish(Failing(error), manifest(position=99))  # type: ignore[arg-type]
    assert loaded_keys(snapshots) == [1, 2, 3, 4, 5]
    assert len(list(folder(tmp_path).iterdir())) == 2


@pytest.mark.parametrize("call", [1, 2, 3])
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
    # Before its rename the former one counts, after it the new one; never none.
    assert len(loaded_keys(snapshots)) == (9 if call == 3 else 5)


def test_what_belongs_to_no_collection_is_removed(snapshots: Snapshots, tmp_path: Path):
    root = tmp_path / "index"
    (root / "99").mkdir()
    (root / "99" / "5-abc.usearch").write_bytes(b"x")
    (root / "note.txt").write_bytes(b"x")
    assert snapshots.remove_strangers([COLLECTION]) == ["99", "note.txt"]
    assert [path.name for path in root.iterdir()] == [str(COLLECTION)]
    assert len(loaded_keys(snapshots)) == 5


def test_without_a_folder_there_are_no_strangers(tmp_path: Path):
    assert Snapshots(tmp_path / "nowhere").remove_strangers([1]) == []
