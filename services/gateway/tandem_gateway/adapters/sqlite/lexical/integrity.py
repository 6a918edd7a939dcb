"""Reads and verifies the whole file of the keyword index."""

import sqlite3
from collections.abc import Iterable

import numpy as np

from tandem_gateway.adapters.sqlite.lexical.file import CacheUnusable
from tandem_gateway.adapters.sqlite.lexical.texts import decompressed
from tandem_gateway.records.arrays import Keys


def check(connection: sqlite3.Connection, collection_ids: Iterable[int]) -> None:
    """Verify the structure of an open file, and that each passage has its text. Errors of SQLite pass through.

    Raises:
        CacheUnusable: if any part is damaged.
    """
    found = [line for (line,) in connection.execute("PRAGMA integrity_check(3)") if line != "ok"]
    if found:
        raise CacheUnusable("; ".join(found))
    for collection_id in collection_ids:
        name = f"words_{collection_id}"
        connection.execute(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")
        texts: list[int] = []
        for passage_id, text in connection.execute(f"SELECT row_id, text FROM texts_{collection_id}"):
            decompressed(text)
            texts.append(passage_id)
        lacking = np.setxor1d(np.array(texts, np.uint64), passage_ids(connection, collection_id))
        if len(lacking):
            raise CacheUnusable(f"{len(lacking)} of its passages have no text, or texts no passage")


def passage_ids(connection: sqlite3.Connection, collection_id: int) -> Keys:
    """Return the ids of a collection's passages, ``(n,) uint64``; the file must have the collection."""
    rows = connection.execute(f"SELECT id FROM words_{collection_id}_docsize")
    return np.fromiter((row[0] for row in rows), dtype=np.uint64)
