"""Verifies the store's file: structure, schema, every row's checksum, and the invariants between rows."""

import sqlite3
from pathlib import Path

from tandem_gateway.adapters.sqlite import counters, earlier_schemas, migrations, schema
from tandem_gateway.adapters.sqlite.commit_watermark import FILE_NAME as MARK_NAME
from tandem_gateway.errors import StorageCorrupt

_ADVICE = "Nothing is served from it. Put back a backup of the data directory, or move it away and ingest again."

# Meaning → query whose rows violate the invariant.
_INVARIANTS = {
    "a collection's counts are not those of its documents": """
        SELECT c.name FROM collections c
        LEFT JOIN (SELECT collection_id, sum(live) AS live, sum(1 - live) AS pending
                   FROM documents GROUP BY collection_id) d USING (collection_id)
        WHERE c.live <> coalesce(d.live, 0) OR c.pending <> coalesce(d.pending, 0)""",
    "a collection does not serve from exactly one space": """
        SELECT c.name FROM collections c LEFT JOIN spaces s ON s.collection_id = c.collection_id AND s.state = 'serving'
        WHERE c.removed = 0 AND s.space_id IS NULL""",
    "a document has no passage": """
        SELECT d.document_id FROM documents d
        WHERE NOT EXISTS (SELECT 1 FROM passages p WHERE p.document_id = d.document_id)""",
    "a passage of a live document is not in the index of its collection": """
        SELECT p.passage_id FROM documents d JOIN passages p USING (document_id)
        JOIN spaces s ON s.collection_id = d.collection_id AND s.state = 'serving'
        LEFT JOIN vectors v ON v.passage_id = p.passage_id AND v.space_id = s.space_id
        WHERE d.live = 1 AND v.change IS NULL""",
    "a pending document is in the index of its collection": """
        SELECT d.document_id FROM documents d JOIN passages p USING (document_id)
        JOIN spaces s ON s.collection_id = d.collection_id AND s.state = 'serving'
        JOIN vectors v ON v.passage_id = p.passage_id AND v.space_id = s.space_id
        WHERE d.live = 0 AND v.change IS NOT NULL""",
    "a collection has more than one second space": """
        SELECT collection_id FROM spaces WHERE state = 'filling' GROUP BY collection_id HAVING count(*) > 1""",
    "a second space has a vector of a document that is not live, or one that no index gets": """
        SELECT v.passage_id FROM spaces s JOIN vectors v USING (space_id) JOIN passages p USING (passage_id)
        JOIN documents d USING (document_id) WHERE s.state = 'filling' AND (v.change IS NULL OR d.live = 0)""",
    "a job's counts do not add up": """
        SELECT j.job_id FROM jobs j
        LEFT JOIN (SELECT job_id, sum(documents) AS documents FROM waiting GROUP BY job_id) w USING (job_id)
        WHERE j.processed + coalesce(w.documents, 0) <> j.total""",
    "a job waits for a document that is not pending": """
        SELECT w.document_id FROM waiting w LEFT JOIN documents d USING (document_id)
        WHERE d.document_id IS NULL OR d.live = 1""",
    "a pending document has no job": """
        SELECT d.document_id FROM documents d WHERE d.live = 0
        AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.document_id = d.document_id)""",
    "a vector has not its space's length": """
        SELECT v.passage_id FROM vectors v JOIN spaces s USING (space_id) WHERE length(v.vector) IS NOT s.dim * 4""",
    "a change is later than its space's last change": """
        SELECT s.space_id FROM spaces s
        WHERE s.last_change < (SELECT coalesce(max(change), 0) FROM vectors v
                               WHERE v.space_id = s.space_id AND v.change IS NOT NULL)
        OR s.last_change < (SELECT coalesce(max(change), 0) FROM removals r WHERE r.collection_id = s.collection_id)""",
    "a number is ahead of its counter": """
        SELECT name FROM counters WHERE
        (name = 'document' AND value < (SELECT coalesce(max(document_id), 0) FROM documents)) OR
        (name = 'passage' AND value < (SELECT coalesce(max(passage_id), 0) FROM passages)) OR
        (name = 'change' AND value < (SELECT coalesce(max(last_change), 0) FROM spaces)) OR
        (name = 'space' AND value < (SELECT coalesce(max(space_id), 0) FROM spaces)) OR
        (name = 'collection' AND value < (SELECT coalesce(max(collection_id), 0) FROM collections))""",
}

_FAILED_SINCE = 8
"""First version with the table ``failed_documents``."""

_INVARIANTS_OF_FAILED = {
    "a collection's failed bytes are not those of its failed documents": """
        SELECT c.name FROM collections c
        LEFT JOIN (SELECT collection_id, sum(bytes) AS bytes FROM failed_documents GROUP BY collection_id) f
        USING (collection_id) WHERE c.failed_bytes <> coalesce(f.bytes, 0)""",
    "a failed document is also pending": """
        SELECT f.document_id FROM failed_documents f WHERE EXISTS (SELECT 1 FROM documents d
        WHERE d.document_id = f.document_id
        OR (d.collection_id = f.collection_id AND d.doc_id = f.doc_id AND d.live = 0))""",
    "a failed document has no job": """
        SELECT f.document_id FROM failed_documents f
        WHERE NOT EXISTS (SELECT 1 FROM failed_waiting w WHERE w.document_id = f.document_id)""",
    "a job may retry more documents than have failed": """
        SELECT job_id FROM jobs j
        JOIN (SELECT job_id, sum(documents) AS documents FROM failed_waiting GROUP BY job_id) w USING (job_id)
        WHERE w.documents > j.failed""",
}


def check_header(path: Path) -> None:
    """Check the two format numbers of the header, which say whether the file is writable and has a write-ahead log.

    SQLite treats a file with an unknown number as read-only. Call this before opening the file.

    Raises:
        StorageCorrupt: if the numbers are neither those of a database with a log, nor of one without.
    """
    with path.open("rb") as file:
        versions = file.read(20)[18:]
    if versions not in (b"\x01\x01", b"\x02\x02"):
        raise StorageCorrupt(f"{path} is damaged: its header has no format that is known. {_ADVICE}")


def check_log(connection: sqlite3.Connection, path: Path, mark: int | None) -> None:
    """Check that the database has every commit up to the high-water mark.

    Raises:
        StorageCorrupt: if it does not: its write-ahead log, or the file itself, has lost acknowledged writes.
    """
    commit = counters.value(connection, "commit")
    if mark is not None and commit < mark:
        raise lost_commits(path, commit, mark)


def check_unmarked(connection: sqlite3.Connection, path: Path) -> None:
    """Check that a database without a high-water mark was closed cleanly, so that no log can be missing.

    Raises:
        StorageCorrupt: if its write-ahead log was in use.
    """
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode == "wal":
        raise StorageCorrupt(
            f"{path} ends at commit {counters.value(connection, 'commit')}, and acknowledged commits may be missing: "
            f"it was in use, and {MARK_NAME!r} beside it, which tells of the last one, is missing or damaged. "
            f"{_ADVICE} To go on with what is left, copy it with `python -m tandem_gateway backup` and restore the copy"
        )


def lost_commits(path: Path, commit: int, mark: int) -> StorageCorrupt:
    """Return the error for a database that ends before an acknowledged commit."""
    return StorageCorrupt(
        f"{path} ends at commit {commit}, but commit {mark} was acknowledged: the file or its write-ahead log "
        f"({path.name}-wal) was lost or damaged. {_ADVICE} If you put back an older copy of {path.name} on "
        f"purpose, delete {MARK_NAME!r} beside it"
    )


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is a store of this version or an older one.

    Raises:
        StorageCorrupt: if it is another database, of a later version, or has other tables.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != schema.APPLICATION_ID:
        raise StorageCorrupt(f"{path} is no Tandem store, or its header is damaged. {_ADVICE}")
    if not 1 <= version <= migrations.VERSION:
        raise StorageCorrupt(
            f"{path} has schema version {version}, this gateway reads 1 to {migrations.VERSION}; run the release that "
            f"wrote it, or a later one"
        )
    expected = sqlite3.connect(":memory:", isolation_level=None)
    try:
        schema.register(expected)
        for script in migrations.SCRIPTS[:version]:
            expected.executescript(script)
        statement = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
        if connection.execute(statement).fetchall() != expected.execute(statement).fetchall():
            raise StorageCorrupt(f"{path}: its tables are not those of a Tandem store. {_ADVICE}")
    finally:
        expected.close()


def find_damage(connection: sqlite3.Connection) -> list[str]:
    """Read the whole file and return descriptions of its damage, at most a few of each kind."""
    found = [f"structure: {line}" for (line,) in connection.execute("PRAGMA integrity_check(3)") if line != "ok"]
    if found:
        return found  # on a broken structure, the results of further statements would mislead
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    earlier = version < migrations.VERSION
    checksums = earlier_schemas.CHECKSUMS_OF[version - 1] if earlier else schema.CHECKSUMS
    for table, checksum in checksums.items():
        (wrong,) = connection.execute(f"SELECT count(*) FROM {table} WHERE checksum IS NOT {checksum}").fetchone()
        if wrong:
            found.append(f"{table}: {wrong} rows are not what was written (wrong checksum)")
    if connection.execute("SELECT count(*) FROM identity").fetchone() != (1,):
        found.append("identity: the store has no id of its own")
    found.extend(
        f"{table}: row {row} refers to a row of {parent} that is not there"
        for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchmany(3)
    )
    first = version <= earlier_schemas.LAST_OF_FIRST
    invariants = earlier_schemas.FIRST_INVARIANTS if first else _INVARIANTS
    of_failed = _INVARIANTS_OF_FAILED if version >= _FAILED_SINCE else {}
    for meaning, query in (invariants | of_failed).items():
        rows = connection.execute(query).fetchmany(3)
        if rows:
            found.append(f"{meaning}: {', '.join(str(row[0]) for row in rows)}")
    return found


def check(connection: sqlite3.Connection, path: Path, *, whole: bool = True) -> None:
    """Check schema, structure, checksums and invariants.

    Args:
        connection: to the store.
        path: of the store.
        whole: read every row. False checks the schema alone, unless an earlier release wrote the store.

    Raises:
        StorageCorrupt: with a list of the damage.
    """
    try:
        check_schema(connection, path)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        found = find_damage(connection) if whole or version < migrations.VERSION else []
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    if found:
        what = " ".join("; ".join(found).split())  # SQLite's own messages may have several lines
        raise StorageCorrupt(f"{path} is damaged: {what}. {_ADVICE}")
