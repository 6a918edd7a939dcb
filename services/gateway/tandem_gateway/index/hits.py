"""From candidates to hits: the rows of live documents, of which those used last are kept, and their scores."""

from collections import OrderedDict
from collections.abc import Collection

import numpy as np

from tandem_gateway.model import Hit, Keys, LiveDocument, Vectors
from tandem_gateway.ports import ChangeFeed

_FLOAT32 = np.dtype("<f4")
# Of Python's objects around the values of a row; an estimate.
_OVERHEAD_BYTES = 500


class LiveRows:
    """Reads the rows of live documents and keeps those used last; one thread at a time.

    A live row never changes and its number is never used again, so that what is kept is true for as long as an index
    has its key: who asks only for keys that an index has just returned needs no word of what was removed.
    """

    def __init__(self, capacity: int) -> None:
        """Make it empty; ``capacity`` is in bytes, about."""
        self._capacity = capacity
        self._kept: OrderedDict[int, LiveDocument] = OrderedDict()
        self._bytes = 0

    def kept(self, row_ids: Collection[int]) -> dict[int, LiveDocument] | None:
        """Return the rows if every one of them is kept, else None; reads nothing."""
        found, missing = self._look_up(row_ids)
        return None if missing else found

    def get(self, row_ids: Collection[int], feed: ChangeFeed) -> dict[int, LiveDocument]:
        """Return those of the rows that are kept or that the store has, by row number.

        Raises:
            StorageError: as ``ChangeFeed.documents`` does.
        """
        found, missing = self._look_up(row_ids)
        if missing:
            read = feed.documents(sorted(missing))
            found.update(read)
            self._keep(read)
        return found

    def _look_up(self, row_ids: Collection[int]) -> tuple[dict[int, LiveDocument], list[int]]:
        """Return the rows that are kept, and the numbers of the others."""
        found: dict[int, LiveDocument] = {}
        missing = []
        for row_id in row_ids:
            row = self._kept.get(row_id)
            if row is None:
                missing.append(row_id)
            else:
                self._kept.move_to_end(row_id)
                found[row_id] = row
        return found, missing

    def _keep(self, rows: dict[int, LiveDocument]) -> None:
        self._kept.update(rows)
        self._bytes += sum(map(_size, rows.values()))
        while self._bytes > self._capacity:
            _, row = self._kept.popitem(last=False)
            self._bytes -= _size(row)


def _size(row: LiveDocument) -> int:
    # Of a text that is not ASCII, its characters may take up to four bytes each; that is as near as this needs to be.
    return len(row.text) + len(row.metadata) + len(row.vector) + _OVERHEAD_BYTES


def score(vector: Vectors, keys: Keys, rows: dict[int, LiveDocument]) -> list[Hit]:
    """Return the hits by descending cosine, those of equal score by row number.

    Args:
        vector: of the query, ``(dim,) float32`` of unit length.
        keys: of the candidates; those without a row are left out.
        rows: by row number; their vectors, of unit length too, are multiplied in float32.
    """
    found = [row for key in keys.tolist() if (row := rows.get(key)) is not None]
    if not found:
        return []
    vectors = np.frombuffer(b"".join([row.vector for row in found]), _FLOAT32).reshape(len(found), -1)
    # Rounding takes the cosine of a text with itself over 1.
    scored = [
        (-1.0 if cosine < -1.0 else 1.0 if cosine > 1.0 else cosine, row)
        for cosine, row in zip((vectors @ vector).tolist(), found, strict=True)
    ]
    scored.sort(key=_descending)
    return [Hit(row.doc_id, cosine, row.text, row.metadata) for cosine, row in scored]


def _descending(scored: tuple[float, LiveDocument]) -> tuple[float, int]:
    cosine, row = scored
    return -cosine, row.row_id
