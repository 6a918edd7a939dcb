"""Only the owner may read the gateway's data."""

import os
from pathlib import Path

import pytest

from tandem_gateway.adapters.data_dir import keep_private


def modes(data_dir: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in (data_dir, *data_dir.iterdir())}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory of an older release."""
    made = tmp_path / "data"
    (made / "index").mkdir(parents=True)
    for name in ("tandem.sqlite3", "tandem.sqlite3-wal", "committed", "clean-stop.json"):
        (made / name).write_bytes(b"")
        (made / name).chmod(0o644)
    (made / "index").chmod(0o755)
    made.chmod(0o755)
    return made


def test_other_users_lose_access_to_an_older_releases_files(data_dir: Path):
    assert {path.name for path in keep_private(data_dir)} == {
        "data",
        "index",
        "tandem.sqlite3",
        "tandem.sqlite3-wal",
        "committed",
        "clean-stop.json",
    }
    assert modes(data_dir) == {
        "data": 0o700,
        "index": 0o700,
        "tandem.sqlite3": 0o600,
        "tandem.sqlite3-wal": 0o600,
        "committed": 0o600,
        "clean-stop.json": 0o600,
    }
    assert keep_private(data_dir) == []


def test_a_directory_that_others_use_as_well_stays_open_and_the_data_does_not(data_dir: Path):
    (data_dir / "notes.txt").write_text("of somebody else")
    (data_dir / "notes.txt").chmod(0o644)
    (data_dir / "index-of-books").symlink_to(data_dir / "notes.txt")
    keep_private(data_dir)
    found = modes(data_dir)
    assert (found["data"], found["notes.txt"], found["tandem.sqlite3"]) == (0o755, 0o644, 0o600)


def test_files_of_another_user_are_left_alone(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    before = modes(data_dir)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert keep_private(data_dir) == []
    assert modes(data_dir) == before


def test_a_file_system_without_modes_keeps_no_gateway_from_its_start(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    def chmod(path: Path, mode: int) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(Path, "chmod", chmod)
    assert keep_private(data_dir) == []
