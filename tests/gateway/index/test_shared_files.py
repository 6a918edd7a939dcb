"""The places of shared snapshots behave alike: a folder, and an object storage behind a real S3-compatible server."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tandem_gateway.adapters.memory.snapshot_registry import MemorySnapshotRegistry
from tandem_gateway.adapters.memory.store import MemoryStore
from tandem_gateway.adapters.object_storage import ObjectStorage
from tandem_gateway.adapters.shared_folder import SharedFolder
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.ports.shared_snapshots import SharedFiles
from tests.gateway.index.sharing import Member
from tests.support.s3 import BUCKET, s3_server
from tests.support.stores import LIMITS, document, ingest

Open = Callable[[], SharedFiles]


@pytest.fixture(params=["folder", "s3"])
def open_files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    if request.param == "folder":
        (tmp_path / "shared").mkdir()
        yield lambda: SharedFolder(tmp_path / "shared")
        return
    with s3_server(tmp_path / "s3") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield lambda: ObjectStorage(f"s3://{BUCKET}/some/prefix")


def test_what_is_written_is_read_and_listed_until_it_is_removed(open_files: Open, tmp_path: Path):
    files = open_files()
    contents = {"a/1/x": b"", "a/2/y": b"small", "a/2/z": os.urandom(20_000_000), "ab/y": b"other"}
    for name, content in contents.items():
        (tmp_path / "source").write_bytes(content)
        files.write(name, tmp_path / "source")
    other = open_files()
    assert {name: b"".join(other.read(name)) for name in contents} == contents
    assert max(map(len, other.read("a/2/z"))) <= 8 << 20
    assert (other.names("a"), other.names("none")) == (["a/1/x", "a/2/y", "a/2/z"], [])
    other.remove(["a/2/y", "a/2/none"])
    assert files.names("a") == ["a/1/x", "a/2/z"]
    files.remove(["a/1/x", "a/2/z"])
    assert files.names("a") == []


def test_what_is_not_there_is_an_error(open_files: Open, tmp_path: Path):
    files = open_files()
    with pytest.raises(StorageUnavailable):
        list(files.read("a/none"))
    with pytest.raises(StorageUnavailable):
        files.write("a/b", tmp_path / "none")


def test_a_stop_ends_what_runs(open_files: Open, tmp_path: Path):
    files = open_files()
    (tmp_path / "source").write_bytes(b"x" * 10_000_000)
    files.write("a/b", tmp_path / "source")
    reading = files.read("a/b")
    next(reading)
    files.stop()
    with pytest.raises(StorageUnavailable, match="shutting down"):
        list(reading)
    with pytest.raises(StorageUnavailable, match="shutting down"):
        files.write("a/c", tmp_path / "source")
    assert "a/c" not in open_files().names("a")


async def test_a_fresh_gateway_loads_what_another_has_published(open_files: Open, tmp_path: Path):
    store = MemoryStore(limits=LIMITS, batch_bytes=1 << 20)
    registry = MemorySnapshotRegistry(store.open_feed())
    builder, fresh = (Member(store, tmp_path / name, registry, open_files()) for name in ("builder", "fresh"))
    await ingest(store, [document(f"d{number}") for number in range(10)])
    assert builder.build_and_publish()
    fresh.start()
    assert (fresh.outcomes, fresh.state().count, fresh.state().new) == (["loaded"], 10, 0)
    fresh.close()


def test_a_storage_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with s3_server(tmp_path / "s3") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        files = ObjectStorage("s3://none/prefix")
        with pytest.raises(StorageUnavailable) as raised:
            list(files.read("x"))
    assert "s3://none/prefix" in raised.value.detail
    assert "s3" not in str(raised.value)


@pytest.mark.parametrize("endpoint", ["", "minio:9000", "ftp://minio"])
def test_an_endpoint_that_is_no_url_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, endpoint: str):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(StorageUnavailable, match="AWS_ENDPOINT_URL has to be a URL"):
        ObjectStorage("s3://some/prefix")


def test_a_panic_of_the_library_is_an_error(monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "ENDPOINT_URL": "http://",
        "REGION": "r",
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(StorageUnavailable):
        ObjectStorage("s3://some/prefix").names("folder")
