"""Opens the store of a data directory: creates, checks or upgrades it."""

import secrets
import sqlite3
from pathlib import Path

from tandem_contract.client_api import DEFAULT_COLLECTION
from tandem_gateway.adapters.sqlite import (
    catalogue,
    check,
    clean_stop,
    commit_watermark,
    counters,
    migrations,
    schema,
    upgrade,
)
from tandem_gateway.adapters.sqlite.connection import FILE_NAME, connect, connect_for_check, translated
from tandem_gateway.adapters.sqlite.moving.unfinished import refuse_unfinished
from tandem_gateway.records.notices import RoutineNotice

# Files that a gateway leaves beside the store and that a backup lacks.
_BESIDE = (commit_watermark.FILE_NAME, clean_stop.FILE_NAME, "index", "lexical.sqlite3")


def open_checked(data_dir: Path, *, trust_clean_stop: bool = False) -> tuple[sqlite3.Connection, list[str]]:
    """Open the store of a data directory and check it; create the store if there is none.

    Args:
        data_dir: the data directory.
        trust_clean_stop: read only the header and the schema of a file that is unchanged since its clean stop.

    Returns:
        A writable connection, and notices of repairs and findings, for the log.

    Raises:
        StorageCorrupt: if the file is damaged or has lost acknowledged writes.
        StorageUnavailable: if the file cannot be opened, or a move into the directory has not ended.
    """
    refuse_unfinished(data_dir)
    path = data_dir / FILE_NAME
    mark_path = data_dir / commit_watermark.FILE_NAME
    acknowledged = commit_watermark.read_mark(mark_path)
    # A store without other files is a restored backup, which has no mark.
    restored = not any((data_dir / name).exists() for name in _BESIDE)
    exists = path.exists() and path.stat().st_size > 0
    if not exists and acknowledged:
        raise check.lost_commits(path, 0, acknowledged)
    unchanged = clean_stop.take(path, acknowledged) and trust_clean_stop
    exists = exists and _is_sound(path, acknowledged, whole=not unchanged)
    connection = connect(path, writable=True)
    try:
        with translated(path):
            if not exists:
                _create(connection)
            if acknowledged is None:
                commit_watermark.create_mark(mark_path, counters.value(connection, "commit"))
            # Only after the checks, because it writes: a file that is not a store must stay unchanged.
            connection.execute("PRAGMA journal_mode=WAL")
            notices = upgrade.upgrade(connection, path)
    except BaseException:
        connection.close()
        raise
    if exists and acknowledged is None:
        line = f"{mark_path.name} was missing or damaged and is written again"
        notices.append(RoutineNotice(line) if restored else line)
    return connection, notices


def _is_sound(path: Path, acknowledged: int | None, *, whole: bool) -> bool:
    """Check a file; return False if it has no content, as after a killed first start.

    Raises:
        StorageCorrupt: if the file is damaged; the file and its log stay unchanged.
    """
    check.check_header(path)
    has_log = path.with_name(f"{path.name}-wal").exists()
    connection = connect_for_check(path) if has_log else connect(path, writable=True)
    try:
        with translated(path):
            if acknowledged in (None, 0) and _is_blank(connection):
                return False
            check.check(connection, path, whole=whole)
            check.check_log(connection, path, acknowledged)
            if acknowledged is None:
                check.check_unmarked(connection, path)
            return True
    finally:
        connection.close()


def _is_blank(connection: sqlite3.Connection) -> bool:
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError:
        return False  # ``check`` will report the damage
    return (application_id, tables) == (0, 0) and pages <= 1


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    for version in range(1, migrations.VERSION + 1):
        migrations.run(connection, version)
    connection.execute(schema.sealed_insert("identity"), {"store_id": secrets.token_hex(16)})
    for counter in ("commit", "change", "document", "passage", "collection", "space", "catalogue"):
        counters.set_value(connection, counter, 0)
    catalogue.create(connection, DEFAULT_COLLECTION)
    connection.execute("COMMIT")
