"""The statements that read the store."""

import dataclasses
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tandem_gateway.adapters.sqlite.batching import first_within
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.errors import StorageCorrupt, TooManyBytes
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import (
    CollectionRecord,
    DocumentView,
    JobRecord,
    LiveDocument,
    PendingBatch,
    PendingDocument,
)
from tandem_gateway.records.index import Changes
from tandem_runtime.memory import utf8_bytes

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


def pending(
    connection: sqlite3.Connection, after: int, limit: int, max_bytes: int, without: Collection[int]
) -> PendingBatch:
    """Return pending documents of one collection; see ``DocumentStore.pending``.

    Their texts have at most ``max_bytes`` bytes together, unless the first text alone has more.
    """
    excluded = ",".join(str(int(number)) for number in without)
    first = connection.execute(
        "SELECT collection_id FROM documents WHERE change IS NULL AND row_id > ? "
        f"AND collection_id NOT IN ({excluded}) ORDER BY row_id LIMIT 1",
        (after,),
    ).fetchone()
    if first is None:
        return PendingBatch(0, "", [])
    record = collection_by_id(connection, first[0])
    assert record is not None
    rows = connection.execute(
        f"SELECT row_id, text, checksum IS {CHECKSUMS['documents']} FROM documents "
        "WHERE change IS NULL AND row_id > ? AND collection_id = ? ORDER BY row_id LIMIT ?",
        (after, record.collection_id, limit),
    )
    taken: list[tuple[int, str, int]] = first_within(rows, lambda row: utf8_bytes(row[1]), max_bytes)
    rows.close()
    for row_id, _, sound in taken:
        if not sound:
            raise damaged_row(row_id)
    documents = [PendingDocument(row_id, text) for row_id, text, _ in taken]
    return PendingBatch(record.collection_id, record.name, documents, record.fingerprint)


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


def changes(
    connection: sqlite3.Connection, collection_id: int, dim: int, after: int, removals_after: int, limit: int
) -> Changes | None:
    """Return the changes of a collection; see ``ChangeFeed.changes``. Call this in a read transaction."""
    floor = connection.execute(
        "SELECT tombstone_floor FROM collections WHERE collection_id = ?", (collection_id,)
    ).fetchone()
    # A collection that was just deleted has no floor: it has no changes either, and nothing to rebuild from.
    if floor is not None and removals_after < floor[0]:
        return None
    upto = counter(connection, "change")
    added = connection.execute(
        "SELECT row_id, vector, change, "
        f"checksum IS {CHECKSUMS['documents']} FROM documents "
        "WHERE collection_id = ? AND change > ? ORDER BY change LIMIT ?",
        (collection_id, after, limit),
    ).fetchall()
    for row_id, vector, _, sound in added:
        if not sound or len(vector) != dim * 4:
            raise damaged_row(row_id)
    complete = len(added) < limit
    if not complete:
        upto = added[-1][2]
    removed = [
        row_id
        for (row_id,) in connection.execute(
            "SELECT row_id FROM tombstones WHERE collection_id = ? AND change > ? AND change <= ?",
            (collection_id, removals_after, upto),
        )
    ]
    vectors = np.frombuffer(b"".join(row[1] for row in added), dtype="<f4").reshape(len(added), dim)
    return Changes(
        upto=upto,
        removed=np.array(removed, dtype=np.uint64),
        added=np.array([row[0] for row in added], dtype=np.uint64),
        vectors=vectors.astype(np.float32, copy=False),
        complete=complete,
    )


def live_documents(
    connection: sqlite3.Connection, row_ids: Sequence[int], max_bytes: int | None = None
) -> dict[int, LiveDocument]:
    """Return the live ones among the rows, by row number; see ``ChangeFeed.documents``."""
    found: dict[int, LiveDocument] = {}
    taken = 0
    for start in range(0, len(row_ids), _MAX_PARAMETERS):
        part = list(row_ids[start : start + _MAX_PARAMETERS])
        # Pad the parameters to a power of two, so that SQLite's statement cache serves all calls.
        part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
        for row in connection.execute(_live_documents_statement(len(part)), part):
            if not row[5]:
                raise damaged_row(row[0])
            found[row[0]] = LiveDocument(*row[:5])
            if max_bytes is not None:
                taken += utf8_bytes(row[2]) + utf8_bytes(row[3])
                if taken > max_bytes:
                    raise TooManyBytes(f"the documents take more than {max_bytes} bytes")
    return found


def findable_documents(
    connection: sqlite3.Connection, row_ids: Sequence[int], max_bytes: int | None = None
) -> dict[int, DocumentView]:
    """Return the rows that keyword search may show, by row number: live rows, and pending rows of new documents.

    Raises:
        StorageCorrupt: if a row's checksum is wrong.
        TooManyBytes: if the texts and metadata take more than ``max_bytes``; reading stops there.
    """
    found: dict[int, DocumentView] = {}
    taken = 0
    for start in range(0, len(row_ids), _MAX_PARAMETERS):
        part = list(row_ids[start : start + _MAX_PARAMETERS])
        part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))  # as above
        for row_id, doc_id, text, metadata, live, sound in connection.execute(
            _findable_documents_statement(len(part)), part
        ):
            if not sound:
                raise damaged_row(row_id)
            found[row_id] = DocumentView(doc_id, text, metadata, embedded=bool(live))
            if max_bytes is not None:
                taken += utf8_bytes(text) + utf8_bytes(metadata)
                if taken > max_bytes:
                    raise TooManyBytes(f"the documents take more than {max_bytes} bytes")
    return found


def rows_after(connection: sqlite3.Connection, after: int, limit: int) -> Iterator[tuple[int, int, str]]:
    """Return (row number, collection, text) of rows after a row number, including pending rows, in order."""
    return connection.execute(
        "SELECT row_id, collection_id, text FROM documents WHERE row_id > ? ORDER BY row_id LIMIT ?", (after, limit)
    )


def tombstones_after(
    connection: sqlite3.Connection, collection_id: int, after: int, limit: int
) -> list[tuple[int, int]]:
    """Return (row number, change) of a collection's live rows that were removed after a change, in order."""
    return connection.execute(
        "SELECT row_id, change FROM tombstones WHERE collection_id = ? AND change > ? ORDER BY change LIMIT ?",
        (collection_id, after, limit),
    ).fetchall()


def row_ids_between(connection: sqlite3.Connection, first: int, last: int) -> set[int]:
    """Return the existing row numbers from ``first`` to ``last``, of any collection."""
    rows = connection.execute("SELECT row_id FROM documents WHERE row_id BETWEEN ? AND ?", (first, last))
    return {row_id for (row_id,) in rows}


def all_row_ids(connection: sqlite3.Connection, collection_id: int) -> Keys:
    """Return the row numbers of a collection, including pending rows, ``(n,) uint64``."""
    rows = connection.execute(
        # Two terms, so that SQLite answers each from a partial index alone.
        "SELECT row_id FROM documents WHERE collection_id = ?1 AND change IS NOT NULL "
        "UNION ALL SELECT row_id FROM documents WHERE collection_id = ?1 AND change IS NULL",
        (collection_id,),
    )
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


def live_row_ids(connection: sqlite3.Connection, collection_id: int) -> Keys:
    """Return the row numbers of a collection's live documents, ``(n,) uint64``."""
    rows = connection.execute(
        "SELECT row_id FROM documents WHERE collection_id = ? AND change IS NOT NULL", (collection_id,)
    )
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


def damaged_row(row_id: int) -> StorageCorrupt:
    """Return the error for a row whose checksum is wrong."""
    return StorageCorrupt(
        f"documents: row {row_id} of the store is not what was written (its checksum is wrong); "
        f"run `python -m tandem_gateway verify`, then put back a backup or ingest the document again"
    )


_MAX_PARAMETERS = 4096


def _live_documents_statement(count: int) -> str:
    return (
        "SELECT row_id, doc_id, text, metadata, vector, "
        f"checksum IS {CHECKSUMS['documents']} FROM documents "
        f"WHERE row_id IN ({','.join('?' * count)}) AND change IS NOT NULL"
    )


def _findable_documents_statement(count: int) -> str:
    return (
        "SELECT row_id, doc_id, text, metadata, change IS NOT NULL, "
        f"checksum IS {CHECKSUMS['documents']} FROM documents AS d "
        f"WHERE row_id IN ({','.join('?' * count)}) AND (change IS NOT NULL OR NOT EXISTS ("
        "SELECT 1 FROM documents AS l "
        "WHERE l.collection_id = d.collection_id AND l.doc_id = d.doc_id AND l.change IS NOT NULL))"
    )
