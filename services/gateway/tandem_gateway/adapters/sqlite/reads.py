"""The statements that read the store's counters, collections, documents and jobs."""

import dataclasses
import sqlite3
from dataclasses import dataclass

from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.errors import StorageCorrupt
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import (
    CollectionRecord,
    DocumentView,
    JobRecord,
)

_COLLECTION = "SELECT collection_id, name, fingerprint, model, dim, live, pending FROM collections"


@dataclass(frozen=True, slots=True)
class Version:
    """One row of a document; ``vector`` is None in a pending row."""

    row_id: int
    text: str
    metadata: str
    content_hash: bytes
    vector: bytes | None
    truncated: int | None
    unknown: float | None

    @property
    def coverage(self) -> Coverage | None:
        """How much of the text the vector covers; None without a vector, or if the embedder did not report it."""
        return None if self.truncated is None else Coverage(bool(self.truncated), self.unknown or 0.0)


def counter(connection: sqlite3.Connection, name: str) -> int:
    """Return a counter's value; 0 if the counter was never set."""
    found = connection.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
    return int(found[0]) if found else 0


def deleted_rows(connection: sqlite3.Connection) -> int:
    """Return how many rows of documents were ever deleted: the given row numbers, less the rows that are left."""
    (left,) = connection.execute("SELECT coalesce(sum(live + pending), 0) FROM collections").fetchone()
    return counter(connection, "row") - int(left)


def store_id(connection: sqlite3.Connection) -> str:
    """Return the store's random id."""
    (value,) = connection.execute("SELECT store_id FROM identity").fetchone()
    return str(value)


def versions(connection: sqlite3.Connection, collection_id: int, doc_id: str) -> tuple[Version | None, Version | None]:
    """Return a document's pending row and its live row.

    Raises:
        StorageCorrupt: if a row's checksum is wrong.
    """
    pending: Version | None = None
    live: Version | None = None
    # Two terms, so that SQLite uses a partial index for each.
    rows = connection.execute(
        "SELECT row_id, text, metadata, content_hash, vector, truncated, unknown, "
        f"checksum IS {CHECKSUMS['documents']} FROM documents "
        "WHERE collection_id = ?1 AND doc_id = ?2 AND change IS NULL "
        "UNION ALL SELECT row_id, text, metadata, content_hash, vector, truncated, unknown, "
        f"checksum IS {CHECKSUMS['documents']} FROM documents "
        "WHERE collection_id = ?1 AND doc_id = ?2 AND change IS NOT NULL",
        (collection_id, doc_id),
    )
    for *columns, sound in rows:
        version = Version(*columns)
        if not sound:
            raise damaged_row(version.row_id)
        if version.vector is None:
            pending = version
        else:
            live = version
    return pending, live


def document(connection: sqlite3.Connection, collection: str, doc_id: str) -> DocumentView | None:
    """Return a document's newest version."""
    record = collection_by_name(connection, collection)
    if record is None:
        return None
    pending, live = versions(connection, record.collection_id, doc_id)
    newest = pending or live
    if newest is None:
        return None
    return DocumentView(doc_id, newest.text, newest.metadata, embedded=pending is None, coverage=newest.coverage)


def job(connection: sqlite3.Connection, job_id: str) -> JobRecord | None:
    """Return a job with its first failures."""
    found = connection.execute(
        "SELECT job_id, collection, total, processed, unchanged, failed, created_at, started_at, finished_at, "
        "truncated, unreadable FROM jobs WHERE job_id = ?",
        (job_id,),
    ).fetchone()
    if found is None:
        return None
    failures: list[tuple[str, str]] = connection.execute(
        "SELECT doc_id, error FROM failures WHERE job_id = ? ORDER BY ordinal", (job_id,)
    ).fetchall()
    return dataclasses.replace(JobRecord(*found), failures=failures)


def collections(connection: sqlite3.Connection) -> list[CollectionRecord]:
    """Return every collection, by name."""
    return [CollectionRecord(*row) for row in connection.execute(f"{_COLLECTION} ORDER BY name")]


def collection_by_name(connection: sqlite3.Connection, name: str) -> CollectionRecord | None:
    """Return the collection with this name, if there is one."""
    row = connection.execute(f"{_COLLECTION} WHERE name = ?", (name,)).fetchone()
    return CollectionRecord(*row) if row else None


def collection_by_id(connection: sqlite3.Connection, collection_id: int) -> CollectionRecord | None:
    """Return the collection with this number, if there is one."""
    row = connection.execute(f"{_COLLECTION} WHERE collection_id = ?", (collection_id,)).fetchone()
    return CollectionRecord(*row) if row else None


def damaged_row(row_id: int) -> StorageCorrupt:
    """Return the error for a row whose checksum is wrong."""
    return StorageCorrupt(
        f"documents: row {row_id} of the store is not what was written (its checksum is wrong); "
        f"run `python -m tandem_gateway verify`, then put back a backup or ingest the document again"
    )
