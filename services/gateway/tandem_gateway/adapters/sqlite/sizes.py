"""The statements that tell the size of a collection, and count the changes that an index has not got yet."""

import itertools
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from tandem_gateway.adapters.sqlite import reads
from tandem_gateway.ports.sizes import COUNTED_CHANGES, MEASURED_SECONDS, SAMPLED_DOCUMENTS
from tandem_gateway.records.sizes import StoredSize

# SQLite 3.43 tells the bytes of a text without reading it. A text of a million characters lies on hundreds of pages.
_BYTES: Final = "octet_length({})" if sqlite3.sqlite_version_info >= (3, 43) else "length(CAST({} AS BLOB))"
_VERSION: Final = (
    f"SELECT document_id, {' + '.join(map(_BYTES.format, ('doc_id', 'text', 'metadata')))} "
    "FROM documents WHERE collection_id = ? ORDER BY doc_id {0}, live {0}"
)
_VECTORS: Final = (
    "SELECT coalesce(sum(length(vector)), 0) FROM passages JOIN vectors USING (passage_id) WHERE document_id = ?"
)


def stored_size(
    connection: sqlite3.Connection,
    collection: str,
    added: int,
    removed: int,
    clock: Callable[[], float] = time.monotonic,
) -> StoredSize | None:
    """Return the size of a collection; see ``StoredSizes.stored_size``. ``clock`` tells seconds."""
    record = reads.collection_by_name(connection, collection)
    if record is None:
        return None
    measured, total = _measured(connection, record.collection_id, clock() + MEASURED_SECONDS, clock)
    versions = record.live + record.pending
    (additions,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM vectors WHERE space_id = ? AND change > ? LIMIT ?)",
        (record.space_id, added, COUNTED_CHANGES),
    ).fetchone()
    (removals,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM removals WHERE collection_id = ? AND change > ? LIMIT ?)",
        (record.collection_id, removed, COUNTED_CHANGES),
    ).fetchone()
    changes = int(additions) + int(removals)
    estimated = measured < versions
    return StoredSize(total * versions // measured if estimated and measured else total, changes, estimated)


def _measured(
    connection: sqlite3.Connection, collection_id: int, until: float, clock: Callable[[], float]
) -> tuple[int, int]:
    """Measure versions from both ends of the order of their ids; return their number, and their bytes together."""
    seen: set[int] = set()
    total = 0
    ends = [connection.execute(_VERSION.format(order), (collection_id,)) for order in ("ASC", "DESC")]
    try:
        for document_id, size in itertools.chain.from_iterable(zip(*ends, strict=True)):
            if document_id in seen:  # both ends have met
                break
            seen.add(document_id)
            (vectors,) = connection.execute(_VECTORS, (document_id,)).fetchone()
            total += int(size) + int(vectors)
            if len(seen) == SAMPLED_DOCUMENTS or clock() >= until:
                break
    finally:
        for end in ends:
            end.close()  # an open statement would keep the log from being truncated
    return len(seen), total
