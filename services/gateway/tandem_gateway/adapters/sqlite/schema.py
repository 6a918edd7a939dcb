"""Tables of the store, and the upgrades from older releases.

A document version is a row of ``documents``. Its row number is its key in the index and is never reused. A document id
has at most two rows. The live row has a vector, and search finds it. The pending row has no vector yet and will replace
the live row.

The store has one sequence of change numbers. ``change`` is the number at which a row went live. A removed live row
leaves a tombstone with a number of the same sequence. Two range scans therefore find all changes after number N.

Each row carries a checksum of its other columns, because SQLite detects a damaged page structure but no damaged value.

Each version of the schema is the result of all scripts up to its own. SQLite keeps the text of each statement, and
``check`` compares it. A new store and an upgraded one must therefore run the same scripts.
"""

import sqlite3
import zlib

import msgspec

APPLICATION_ID = 0x54_4E_44_4D  # "TNDM"

_FIRST = """
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE identity (store_id TEXT PRIMARY KEY, checksum INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE collections (
  collection_id INTEGER PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  fingerprint   TEXT,
  model         TEXT,
  dim           INTEGER,
  live          INTEGER NOT NULL DEFAULT 0,
  pending       INTEGER NOT NULL DEFAULT 0,
  -- tombstones up to this change are gone: an index that has not reached it must be built anew
  tombstone_floor INTEGER NOT NULL DEFAULT 0,
  checksum      INTEGER
) STRICT;

CREATE TABLE documents (
  row_id        INTEGER PRIMARY KEY,
  collection_id INTEGER NOT NULL REFERENCES collections,
  doc_id        TEXT NOT NULL,
  text          TEXT NOT NULL,
  metadata      TEXT NOT NULL,
  content_hash  BLOB NOT NULL,
  change        INTEGER,
  vector        BLOB,
  checksum      INTEGER,
  CHECK ((change IS NULL) = (vector IS NULL))
) STRICT;
CREATE UNIQUE INDEX documents_live ON documents (collection_id, doc_id) WHERE change IS NOT NULL;
CREATE UNIQUE INDEX documents_pending ON documents (collection_id, doc_id) WHERE change IS NULL;
CREATE INDEX documents_waiting ON documents (row_id, collection_id) WHERE change IS NULL;
CREATE UNIQUE INDEX documents_change ON documents (collection_id, change) WHERE change IS NOT NULL;

CREATE TABLE tombstones (
  collection_id INTEGER NOT NULL,
  change        INTEGER NOT NULL,
  row_id        INTEGER NOT NULL,
  checksum      INTEGER,
  PRIMARY KEY (collection_id, change)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  job_id      TEXT PRIMARY KEY,
  collection  TEXT NOT NULL,
  total       INTEGER NOT NULL,
  processed   INTEGER NOT NULL,
  unchanged   INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  created_at  REAL NOT NULL,
  started_at  REAL,
  finished_at REAL,
  checksum    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- A job's document that is not embedded yet; more than one job may wait for the same row.
CREATE TABLE waiting (
  row_id    INTEGER NOT NULL REFERENCES documents,
  job_id    TEXT NOT NULL REFERENCES jobs,
  documents INTEGER NOT NULL,
  checksum  INTEGER,
  PRIMARY KEY (row_id, job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_job ON waiting (job_id, documents);

CREATE TABLE failures (
  job_id   TEXT NOT NULL REFERENCES jobs,
  ordinal  INTEGER NOT NULL,
  doc_id   TEXT NOT NULL,
  error    TEXT NOT NULL,
  checksum INTEGER,
  PRIMARY KEY (job_id, ordinal)
) STRICT, WITHOUT ROWID;

-- The counts that healthz shows, kept by the store itself so that no statement can forget them.
CREATE TRIGGER documents_added AFTER INSERT ON documents BEGIN
  UPDATE collections SET live = live + (NEW.change IS NOT NULL), pending = pending + (NEW.change IS NULL)
    WHERE collection_id = NEW.collection_id;
END;
CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
  UPDATE collections SET live = live - (OLD.change IS NOT NULL), pending = pending - (OLD.change IS NULL)
    WHERE collection_id = OLD.collection_id;
END;
CREATE TRIGGER documents_went_live AFTER UPDATE OF change ON documents
  WHEN (NEW.change IS NULL) <> (OLD.change IS NULL) BEGIN
  UPDATE collections
    SET live = live + (NEW.change IS NOT NULL) - (OLD.change IS NOT NULL),
        pending = pending + (NEW.change IS NULL) - (OLD.change IS NULL)
    WHERE collection_id = NEW.collection_id;
END;
"""

_COVERAGE = """
-- How much of the text the vector stands for, see model.Coverage; NULL while there is no vector, or if nobody said.
ALTER TABLE documents ADD COLUMN truncated INTEGER;
ALTER TABLE documents ADD COLUMN unknown REAL;
ALTER TABLE jobs ADD COLUMN truncated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN unreadable INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET checksum = row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at,
  finished_at, truncated, unreadable);
"""

SCRIPTS = (_FIRST, _COVERAGE)
"""Script number N (from 1) upgrades version N - 1 to version N."""

VERSION = len(SCRIPTS)

_FIRST_CHECKSUMS = {
    "counters": "row_checksum(name, value)",
    "identity": "row_checksum(store_id)",
    # live and pending are derived values; ``check`` recounts them.
    "collections": "row_checksum(collection_id, name, fingerprint, model, dim, tombstone_floor)",
    "documents": "row_checksum(row_id, collection_id, doc_id, text, metadata, content_hash, change, vector)",
    "tombstones": "row_checksum(collection_id, change, row_id)",
    "jobs": "row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at, "
    "finished_at)",
    "waiting": "row_checksum(row_id, job_id, documents)",
    "failures": "row_checksum(job_id, ordinal, doc_id, error)",
}

CHECKSUMS = {
    **_FIRST_CHECKSUMS,
    # A row without values in the newer columns keeps its old checksum, so that an upgrade need not rewrite every row.
    "documents": f"iif(truncated IS NULL, {_FIRST_CHECKSUMS['documents']}, row_checksum(row_id, collection_id, doc_id, "
    "text, metadata, content_hash, change, vector, truncated, unknown))",
    "jobs": "row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at, "
    "finished_at, truncated, unreadable)",
}
"""Table → SQL expression of its rows' checksum; the single definition for writing and checking."""

CHECKSUMS_OF = (_FIRST_CHECKSUMS, CHECKSUMS)
"""``CHECKSUMS`` of each version, from version 1."""

_Value = str | bytes | int | float | None
_encode = msgspec.msgpack.Encoder().encode


def row_checksum(*values: _Value) -> int:
    """Return the CRC-32 of a row as MessagePack, which encodes types and lengths: different rows never encode alike."""
    return zlib.crc32(_encode(values))


def statements(script: str) -> list[str]:
    """Split a script into its statements, because ``executescript`` would commit the open transaction."""
    found: list[str] = []
    current = ""
    for line in script.splitlines(keepends=True):
        current += line
        # Lines of a script have a ';' only at a statement's end or within a trigger.
        if sqlite3.complete_statement(current):
            found.append(current.strip())
            current = ""
    return found


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Upgrade the tables from a version to the current one, within the open transaction; version 0 has no tables."""
    for script in SCRIPTS[version:]:
        for statement in statements(script):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={VERSION}")


def register(connection: sqlite3.Connection) -> None:
    """Register the SQL function ``row_checksum`` on this connection."""
    connection.create_function("row_checksum", -1, row_checksum, deterministic=True)


def seal(connection: sqlite3.Connection, table: str, key: str, value: int | str) -> None:
    """Update the checksum of a changed row."""
    connection.execute(f"UPDATE {table} SET checksum = {CHECKSUMS[table]} WHERE {key} = ?", (value,))
