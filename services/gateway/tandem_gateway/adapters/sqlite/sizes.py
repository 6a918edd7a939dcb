"""The statements that estimate the size of a collection, and count the changes that an index has not got yet."""

import sqlite3
from typing import Final

from tandem_gateway.adapters.sqlite import reads
from tandem_gateway.ports.sizes import COUNTED_CHANGES, SAMPLED_DOCUMENTS
from tandem_gateway.records.sizes import StoredSize

_VERSION: Final = (
    "SELECT document_id, "
    "length(CAST(doc_id AS BLOB)) + length(CAST(text AS BLOB)) + length(CAST(metadata AS BLOB)) "
    "FROM documents WHERE collection_id = ? ORDER BY doc_id {0}, live {0} LIMIT ?"
)
_VECTORS: Final = (
    "SELECT coalesce(sum(length(vector)), 0) FROM passages JOIN vectors USING (passage_id) WHERE document_id = ?"
)


def stored_size(connection: sqlite3.Connection, collection: str, added: int, removed: int) -> StoredSize | None:
    """Return the size of a collection; see ``StoredSizes.stored_size``."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return None
    half = SAMPLED_DOCUMENTS // 2
    sampled: dict[int, int] = {}
    for direction in ("ASC", "DESC"):
        sampled.update(connection.execute(_VERSION.format(direction), (record.collection_id, half)).fetchall())
    total = sum(sampled.values())
    for document_id in sampled:
        (vectors,) = connection.execute(_VECTORS, (document_id,)).fetchone()
        total += int(vectors)
    (additions,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM vectors WHERE space_id = ? AND change > ? LIMIT ?)",
        (record.space_id, added, COUNTED_CHANGES),
    ).fetchone()
    (removals,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM removals WHERE collection_id = ? AND change > ? LIMIT ?)",
        (record.collection_id, removed, COUNTED_CHANGES),
    ).fetchone()
    versions = record.live + record.pending
    return StoredSize(total * versions // len(sampled) if sampled else 0, int(additions) + int(removals))
