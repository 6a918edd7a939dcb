"""The background scrub: it reads the rows with clients' data and compares them with their checksums, a page at a time.

Reads for searches do not check checksums. A start after a clean stop does not either; see ``clean_stop``.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from tandem_gateway.adapters.sqlite.schema import CHECKSUMS
from tandem_gateway.records.scrubbing import ScrubPage

_KEYS: Final = {"documents": "document_id", "failed_documents": "document_id", "vectors": "rowid"}
"""Table → its ascending key."""


@dataclass(slots=True)
class ScrubPosition:
    """Where the scrub goes on: the table, and the last key that it has read."""

    table: str = "documents"
    key: int = 0


def scrub_page(connection: sqlite3.Connection, position: ScrubPosition, limit: int) -> ScrubPage:
    """Check the next rows and advance the position; after the last table the scrub begins again.

    Args:
        connection: a reader's.
        position: where to go on.
        limit: maximum number of rows.
    """
    key = _KEYS[position.table]
    rows = connection.execute(
        f"SELECT {key}, checksum IS {CHECKSUMS[position.table]} FROM {position.table} "
        f"WHERE {key} > ? ORDER BY {key} LIMIT ?",
        (position.key, limit),
    ).fetchall()
    damaged = [(position.table, row) for row, sound in rows if not sound]
    if len(rows) == limit:
        position.key = rows[-1][0]
        return ScrubPage(len(rows), damaged, complete=False)
    tables = list(_KEYS)
    following = tables.index(position.table) + 1
    complete = following == len(tables)
    position.table, position.key = tables[0 if complete else following], 0
    return ScrubPage(len(rows), damaged, complete)
