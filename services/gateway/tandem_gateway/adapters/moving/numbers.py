"""Numbers of documents: SQLite has one sequence for all collections, PostgreSQL one for each collection.

In PostgreSQL, the upper bits of a number are its collection: ``collection << 40 | n``. A store that came from SQLite
keeps n. Its n are therefore unique up to the last one that SQLite gave; later ones are numbered in each collection. On
the way back, the unique ones stay what they are, and the later ones follow, collection by collection. The order within
a collection, which is the order of the ingests, never changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from tandem_gateway.errors import StorageUnavailable

BITS: Final = 40
MAX_NUMBER: Final = (1 << BITS) - 1
"""Largest number of a document within its collection."""


@dataclass(frozen=True, slots=True)
class Numbering:
    """The numbers that the documents of a store in PostgreSQL get in SQLite."""

    unique: int
    """Last n that SQLite gave; 0 if the store never was in SQLite."""
    collections: int
    """Last collection that was there then."""
    offsets: Mapping[int, int]
    """Collection → what its later numbers are increased by."""
    last: int
    """Last number that SQLite counts as given."""

    def of(self, number: int) -> int:
        """Return the number in SQLite of a number in PostgreSQL."""
        collection, n = number >> BITS, number & MAX_NUMBER
        base = self.unique if collection <= self.collections else 0
        return n if n <= base else self.offsets[collection] + n - base


def numbering(unique: int, collections: int, last: Mapping[int, int]) -> Numbering:
    """Return the numbering of a store.

    Args:
        unique: last n that SQLite gave; see ``Numbering``.
        collections: last collection that was there then.
        last: collection → its last n, for each collection that a number names.

    Raises:
        StorageUnavailable: there are too many numbers.
    """
    names = sorted(last)
    later = [max(0, last[name] - (unique if name <= collections else 0)) for name in names]
    offsets = [unique, *accumulate(later, initial=unique)][1:]
    if offsets[-1] > MAX_NUMBER:
        raise StorageUnavailable(
            f"the store has given {offsets[-1]} numbers to documents; at most {MAX_NUMBER} can move"
        )
    return Numbering(unique, collections, dict(zip(names, offsets[:-1], strict=True)), offsets[-1])
