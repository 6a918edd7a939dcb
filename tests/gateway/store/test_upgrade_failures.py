"""An upgrade that is killed, or that has no room, leaves the older store; the next start upgrades it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import check, migrations, upgrade
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.errors import StorageCorrupt, StorageUnavailable
from tests.gateway.store.older_stores import copy_of, dump_raw, version

STEPS = [
    (number, done)
    for number in range(2, migrations.VERSION + 1)
    for done in range(1, len(migrations.statements(migrations.SCRIPTS[number - 1])) + 1)
]


@pytest.mark.parametrize(("number", "done"), STEPS)
def test_a_kill_in_the_middle_leaves_the_older_store(tmp_path: Path, number: int, done: int):
    older = copy_of(number - 1, tmp_path)
    connection = connect(older / FILE_NAME, writable=True)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("BEGIN IMMEDIATE")
    for statement in migrations.statements(migrations.SCRIPTS[number - 1])[:done]:
        connection.execute(statement)
    # A kill also leaves the copy, complete or not.
    shutil.copyfile(older / FILE_NAME, upgrade.copy_path(older / FILE_NAME, number - 1))
    (older / f"{FILE_NAME}.schema-{number - 1}.partial").write_bytes(b"half")
    killed = Path(shutil.copytree(older, older.with_name("killed")))
    connection.close()
    reader = connect(killed / FILE_NAME, writable=False)
    check.check(reader, killed / FILE_NAME)
    reader.close()
    assert version(killed) == number - 1
    opened_again, notices = open_checked(killed)
    opened_again.close()
    assert len(notices) == 1
    assert not list(killed.glob(f"{FILE_NAME}.schema-*"))


def test_a_kill_after_the_last_transaction_leaves_only_the_copy_to_remove(older: Path, monkeypatch: pytest.MonkeyPatch):
    before = version(older)

    def killed(connection: sqlite3.Connection, path: Path, *, whole: bool = True) -> None:
        if version(path.parent) == migrations.VERSION:
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(upgrade.check, "check", killed)
        with pytest.raises(KeyboardInterrupt):
            open_checked(older)
    assert upgrade.copy_path(older / FILE_NAME, before).exists()
    connection, notices = open_checked(older)
    connection.close()
    assert notices == []
    assert not upgrade.copy_path(older / FILE_NAME, before).exists()


def test_a_wrong_migration_is_refused_and_the_copy_is_the_older_store(older: Path, monkeypatch: pytest.MonkeyPatch):
    before, content = version(older), dump_raw(older)
    wrong = (*migrations.SCRIPTS[:-1], f"{migrations.SCRIPTS[-1]}\nDELETE FROM waiting;\n")
    with monkeypatch.context() as context:
        context.setattr(migrations, "SCRIPTS", wrong)
        with pytest.raises(StorageCorrupt, match="a pending document has no job") as refusal:
            open_checked(older)
    copied = upgrade.copy_path(older / FILE_NAME, before)
    assert str(copied) in refusal.value.detail
    assert copied.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copied)) as connection:
        assert list(connection.iterdump()) == content


def test_the_copy_of_a_killed_upgrade_takes_no_room_beside_the_next_one(older: Path, monkeypatch: pytest.MonkeyPatch):
    copied = upgrade.copy_path(older / FILE_NAME, version(older))
    copied.write_bytes(b"of the killed upgrade")
    there = []

    def sync(path: Path) -> None:
        if path.name.endswith(".partial"):  # the new copy is complete
            there.append(copied.exists())

    monkeypatch.setattr(upgrade, "sync", sync)
    connection, _ = open_checked(older)
    connection.close()
    assert there == [False]


def test_an_upgrade_without_room_for_its_copy_leaves_the_store_as_it_is(older: Path):
    before = version(older)
    content = dump_raw(older)
    (older / f"{FILE_NAME}.schema-{before}").mkdir()  # the copy cannot be put in place
    with pytest.raises(StorageUnavailable, match="The store is unchanged"):
        open_checked(older)
    assert version(older) == before
    assert dump_raw(older) == content
    (older / f"{FILE_NAME}.schema-{before}").rmdir()
    connection, notices = open_checked(older)
    connection.close()
    assert len(notices) == 1


def test_an_upgrade_without_room_for_the_new_tables_leaves_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    older = copy_of(2, tmp_path)
    content = dump_raw(older)
    run = migrations.run

    def full(connection: sqlite3.Connection, number: int) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        run(connection, number)

    with monkeypatch.context() as context:
        context.setattr(migrations, "run", full)
        with pytest.raises(StorageUnavailable, match="the disk is full"):
            open_checked(older)
    assert not list(older.glob(f"{FILE_NAME}.schema-*"))
    assert version(older) == 2
    assert dump_raw(older) == content
    connection, notices = open_checked(older)
    connection.close()
    assert len(notices) == 1


def test_the_copies_of_killed_upgrades_are_gone_before_the_next_copy_takes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    older = copy_of(2, tmp_path)
    for number in (1, 2):
        (older / f"{FILE_NAME}.schema-{number}").write_bytes(b"an earlier copy")
    copy = upgrade._copy
    beside: list[str] = []

    def look(connection: sqlite3.Connection, target: Path) -> None:
        beside.extend(path.name for path in older.glob(f"{FILE_NAME}.schema-*"))
        copy(connection, target)

    monkeypatch.setattr(upgrade, "_copy", look)
    connection, notices = open_checked(older)
    connection.close()
    assert beside == []
    assert len(notices) == 1
    assert not list(older.glob(f"{FILE_NAME}.schema-*"))
