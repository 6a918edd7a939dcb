"""Reads from FTS5's tables which passages there are, how long they are, and in which of them a term occurs.

A search needs many values. They come in few rows: sqlite3 gives away the lock of Python for each row, and may wait
milliseconds for it while the event loop is busy.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tandem_gateway.adapters.sqlite.lexical import bm25
from tandem_gateway.adapters.sqlite.lexical.file import CacheUnusable

_COLUMNS: Final = 2
"""Number of columns of a table of terms: exact forms and stems."""
# One row of SQLite has this many passages: fewer rows would hold the lock of Python for long, more would ask for it
# often.
_PASSAGES_PER_ROW: Final = 20_000
# Length of a text of numbers that is read at once, which takes a millisecond or two.
_PIECE_CHARS: Final = 1 << 16


class PostingsReader:
    """Reads through one connection. Errors of SQLite pass through."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read through this connection."""
        self._connection = connection
        # Collections with a table to read terms from: to ask SQLite whether it exists takes as long as to read a term.
        self._tables: set[int] = set()

    def drop(self, collection_id: int) -> None:
        """Forget a collection; call this in the transaction that drops its tables."""
        self._tables.discard(collection_id)
        self._connection.execute(f"DROP TABLE IF EXISTS temp.postings_{collection_id}")

    def passages_after(self, collection_id: int, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return the ids of the passages after an id, ascending, and the number of terms of each."""
        rows = self._connection.execute(
            "SELECT group_concat(id), group_concat(hex(sz), '') FROM ("
            f"SELECT id, sz, row_number() OVER () / {_PASSAGES_PER_ROW} AS part FROM ("
            f"SELECT id, sz FROM words_{collection_id}_docsize WHERE id > ? ORDER BY id)) GROUP BY part ORDER BY part",
            (last,),
        )
        ids = [np.empty(0, np.int64)]
        lengths = [np.empty(0, np.int32)]
        for some_ids, sizes in rows:
            ids.append(np.array(some_ids.split(","), np.int64))
            in_columns = bm25.decoded_varints(bytes.fromhex(sizes))
            if len(in_columns) != _COLUMNS * len(ids[-1]):
                raise CacheUnusable("the lengths of its passages are damaged")
            lengths.append(in_columns.reshape(-1, _COLUMNS).sum(axis=1, dtype=np.int64).astype(np.int32))
        return np.concatenate(ids), np.concatenate(lengths)

    def occurrences(self, collection_id: int, terms: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
        """Return for each term the passages with it, one id for each occurrence.

        The ids of occurrences as an exact form are positive. Those of occurrences as a stem are negative.
        """
        if collection_id not in self._tables:
            self._connection.execute(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.postings_{collection_id} "
                f"USING fts5vocab(main, words_{collection_id}, instance)"
            )
            self._tables.add(collection_id)
        # Both columns of a term come in one pass: the ids of the column for stems are negative.
        (found,) = self._connection.execute(
            "SELECT group_concat(coalesce((SELECT group_concat(iif(col = 'exact', doc, -doc)) "
            f"FROM temp.postings_{collection_id} WHERE term = asked.value), ''), ' ') FROM json_each(?) AS asked",
            (json.dumps(terms),),
        ).fetchone()
        return {term: _numbers(ids) for term, ids in zip(terms, found.split(" "), strict=True)}


def _numbers(ids: str) -> npt.NDArray[np.int64]:
    """Return the numbers in a text, which separates them by commas.

    It reads the text in pieces: the event loop gets the interpreter's lock between them. The numbers of a frequent term
    would else hold it for a tenth of a second.
    """
    pieces = [np.empty(0, np.int64)]
    start = 0
    while start < len(ids):
        stop = ids.find(",", start + _PIECE_CHARS)
        stop = len(ids) if stop < 0 else stop
        pieces.append(np.fromstring(ids[start:stop], np.int64, sep=","))
        start = stop + 1
    return np.concatenate(pieces)
