"""The statements with which the indexes follow the store and look up the rows of hits."""

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np

from tandem_gateway.adapters.sqlite.reads import counter, damaged_row
from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.errors import TooManyBytes
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import DocumentView, LiveDocument
from tandem_gateway.records.index import Changes
from tandem_runtime.memory import utf8_bytes

_MAX_PARAMETERS = 4096


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
        "SELECT row_id FROM documents WHERE collection_id = :collection_id AND change IS NOT NULL "
        "UNION ALL SELECT row_id FROM documents WHERE collection_id = :collection_id AND change IS NULL",
        {"collection_id": collection_id},
    )
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


def live_row_ids(connection: sqlite3.Connection, collection_id: int) -> Keys:
    """Return the row numbers of a collection's live documents, ``(n,) uint64``."""
    rows = connection.execute(
        "SELECT row_id FROM documents WHERE collection_id = ? AND change IS NOT NULL", (collection_id,)
    )
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)


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
