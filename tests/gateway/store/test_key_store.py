"""The files of the API keys: their modes, their format, and what happens when one of them is missing."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tandem_gateway.access.control import AccessControl
from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.adapters.sqlite.key_store import FILE_NAME, SECRET_NAME, SqliteKeyStore
from tandem_gateway.adapters.sqlite.key_tables import VERSION
from tandem_gateway.errors import StorageCorrupt, StorageError, StorageUnavailable
from tandem_gateway.records.access import Usage

WANTED = NewKey("a name", "admin")


def create(data_dir: Path) -> str:
    store = SqliteKeyStore(data_dir)
    try:
        return KeyAdministration(store).create(WANTED)[1]
    finally:
        store.close()


def works(data_dir: Path, text: str) -> bool:
    store = SqliteKeyStore(data_dir)
    try:
        access = AccessControl(store)
        access.load()
        return access.authenticate(text.encode()) is not None
    finally:
        store.close()


def test_reading_makes_no_file(tmp_path: Path):
    store = SqliteKeyStore(tmp_path / "absent")
    store.table()
    store.version()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_may_read_the_files(tmp_path: Path):
    store = SqliteKeyStore(tmp_path / "data")
    KeyAdministration(store).create(WANTED)
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert names.keys() >= {FILE_NAME, SECRET_NAME, f"{FILE_NAME}-wal"}
    assert set(names.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    store.close()


def test_the_text_of_a_key_is_in_no_file(tmp_path: Path):
    text = create(tmp_path)
    found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert text.encode() not in found
    assert text.rpartition("_")[2].encode() not in found


def test_another_connection_sees_each_change(tmp_path: Path):
    reader, writer = SqliteKeyStore(tmp_path), SqliteKeyStore(tmp_path)
    versions = [reader.version()]
    administration = KeyAdministration(writer)
    key, _ = administration.create(WANTED)
    versions.append(reader.version())
    administration.rotate(key.id)
    versions.append(reader.version())
    administration.revoke(key.id)
    versions.append(reader.version())
    assert len(set(versions)) == len(versions)
    reader.close()
    writer.close()


def test_a_key_outlives_a_kill(tmp_path: Path):
    program = (
        "import os, pathlib, sys\n"
        "from tandem_gateway.access.key_administration import KeyAdministration, NewKey\n"
        "from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore\n"
        "store = SqliteKeyStore(pathlib.Path(sys.argv[1]))\n"
        "os.write(1, KeyAdministration(store).create(NewKey('a name', 'admin'))[1].encode())\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -9
    assert works(tmp_path, done.stdout.decode())


def test_a_format_of_a_newer_release_is_refused_by_name(tmp_path: Path):
    create(tmp_path)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StorageUnavailable) as caught:
        SqliteKeyStore(tmp_path).table()
    assert f"{FILE_NAME} has the format {VERSION + 1} of a newer release" in caught.value.detail


def test_a_lost_secret_is_an_error_and_not_a_new_one(tmp_path: Path):
    create(tmp_path)
    (tmp_path / SECRET_NAME).unlink()
    store = SqliteKeyStore(tmp_path)
    with pytest.raises(StorageUnavailable, match="secret of the API keys is lost") as caught:
        AccessControl(store).load()
    assert str(tmp_path / SECRET_NAME) in caught.value.detail
    assert not (tmp_path / SECRET_NAME).exists()
    store.close()


def test_another_secret_makes_no_key_valid(tmp_path: Path):
    text = create(tmp_path)
    (tmp_path / SECRET_NAME).write_bytes(b"x" * 32)
    assert not works(tmp_path, text)
    (tmp_path / SECRET_NAME).write_bytes(b"x" * 31)
    with pytest.raises(StorageUnavailable, match="damaged"):
        works(tmp_path, text)


def test_a_damaged_file_is_an_error(tmp_path: Path):
    create(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(StorageCorrupt):
        SqliteKeyStore(tmp_path).table()


@pytest.mark.parametrize("left", [None, b""])
def test_lost_keys_leave_access_control_on(tmp_path: Path, left: bytes | None):
    create(tmp_path)
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    if left is not None:
        (tmp_path / FILE_NAME).write_bytes(left)
    store = SqliteKeyStore(tmp_path)
    access = AccessControl(store)
    access.load()
    assert access.on
    assert not access.has_keys
    store.close()
    assert works(tmp_path, create(tmp_path))  # with the secret that is still there


def test_access_control_without_keys_can_be_switched_off_and_stays_so(tmp_path: Path):
    create(tmp_path)
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    for _ in range(2):
        store = SqliteKeyStore(tmp_path)
        store.switch(False)
        assert not store.table().on
        store.close()


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        create(tmp_path / "file" / "data")


def test_a_backup_has_the_keys_and_their_secret(tmp_path: Path):
    store = SqliteKeyStore(tmp_path / "data")
    _, text = KeyAdministration(store).create(WANTED)
    restored = tmp_path / "restored"
    restored.mkdir()
    assert store.back_up(restored / FILE_NAME, restored / SECRET_NAME) == 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in restored.iterdir()} == {0o600}
    assert works(restored, text)
    with pytest.raises(StorageUnavailable, match="there already"):
        store.back_up(restored / FILE_NAME, restored / SECRET_NAME)
    store.close()


_FORMAT_1 = (
    "CREATE TABLE access (one INTEGER PRIMARY KEY CHECK (one = 1), enabled INTEGER NOT NULL) STRICT",
    "INSERT INTO access VALUES (1, 1)",
    "CREATE TABLE keys (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, role TEXT NOT NULL, "
    "collections TEXT NOT NULL, digest BLOB NOT NULL, created_at REAL NOT NULL, expires_at REAL, filter TEXT, "
    "revoked_at REAL, last_used_at REAL, previous_digest BLOB, previous_until REAL NOT NULL) STRICT",
    "PRAGMA user_version = 1",
)


def test_a_file_of_the_first_format_is_upgraded_and_its_keys_work(tmp_path: Path):
    text = create(tmp_path)
    new = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    (row,) = new.execute(
        "SELECT number, id, name, role, collections, digest, created_at, expires_at, filter, revoked_at, last_used_at, "
        "previous_digest, previous_until FROM keys"
    )
    new.close()
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    old = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    for statement in _FORMAT_1:
        old.execute(statement)
    old.execute(f"INSERT INTO keys VALUES ({', '.join('?' * len(row))})", row)
    old.close()
    assert works(tmp_path, text)
    store = SqliteKeyStore(tmp_path)
    try:
        (key,) = store.table().keys
        assert key.limits is None
        store.add_usage({(7, key.id): Usage(1, 2, 3)})
        assert store.usage(7, 7) == {(7, key.id): Usage(1, 2, 3)}
        assert KeyAdministration(store).create(NewKey("limited", "search", limits=["requests=1/day"]))[0].limits
    finally:
        store.close()
    upgraded = sqlite3.connect(tmp_path / FILE_NAME)
    assert upgraded.execute("PRAGMA user_version").fetchone() == (VERSION,)
    upgraded.close()
