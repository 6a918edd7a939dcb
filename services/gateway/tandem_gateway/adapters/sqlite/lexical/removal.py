"""Removes the rows from the keyword index that the store no longer has.

The store's tombstones name the removed rows. A pending row leaves no tombstone, and the store may drop a tombstone
before the follower has applied it. While the index has more rows of a collection than the store, ``Removal`` therefore
compares their row numbers, the newest first.
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from tandem_gateway.adapters.sqlite import index_reads
from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import CacheUnusable
from tandem_gateway.records.documents import CollectionRecord

# Maximum number of rows that one step removes, or compares with the store's.
_PAGE_REMOVED = 200
_PAGE_COMPARED = 2000
# A search waits for the current page; the terms of a million characters may take two seconds.
_PAGE_CHARS = 250_000


@dataclass(slots=True)
class _Comparison:
    """Progress of the comparison of a collection's row numbers with the store's, from the highest down."""

    last_row: int
    """The store's last row when the comparison began."""
    there: int
    """Number of the collection's rows in the store when the comparison began."""
    next_row: int
    """The follower has compared the rows from this number on."""


class Removal:
    """Removes rows that the store no longer has, a page at a time. Call it in a read transaction of the store."""

    def __init__(self, store: sqlite3.Connection) -> None:
        """Read the store through this connection."""
        self._store = store
        self._comparisons: dict[int, _Comparison] = {}

    def keep_only(self, collection_ids: Collection[int]) -> None:
        """Forget the other collections' comparisons."""
        for gone in self._comparisons.keys() - set(collection_ids):
            del self._comparisons[gone]

    def remove_page(self, cache: LexicalCache, record: CollectionRecord, last: int) -> bool:
        """Remove a page of rows that the store no longer has; return whether there was work.

        Args:
            cache: of the index.
            record: a collection.
            last: the store's last row number.

        Raises:
            CacheUnusable: if the index lacks rows, or counts rows that it does not have.
        """
        collection_id = record.collection_id
        there = record.live + record.pending
        if cache.count(collection_id) < there:
            raise CacheUnusable(f"it lacks rows of collection {record.name}")
        if cache.count(collection_id) == there:
            self._comparisons.pop(collection_id, None)
            return False
        return self.remove_known(cache, record, _PAGE_REMOVED, _PAGE_CHARS) or self._compare(cache, record, last)

    def remove_known(self, cache: LexicalCache, record: CollectionRecord, limit: int, max_chars: int) -> bool:
        """Remove rows that have tombstones in the store; return whether there were any.

        Args:
            cache: of the index.
            record: a collection.
            limit: maximum number of rows.
            max_chars: limit of the removed texts' characters; see ``LexicalCache.remove``.
        """
        if cache.count(record.collection_id) <= record.live + record.pending:
            return False
        tombstones = index_reads.removals_after(
            self._store, record.collection_id, cache.change(record.collection_id), limit
        )
        if tombstones:
            cache.remove(record.collection_id, tombstones, max_chars)
        return bool(tombstones)

    def _compare(self, cache: LexicalCache, record: CollectionRecord, last: int) -> bool:
        """Compare a page of row numbers with the store's; remove the rows that the store does not have."""
        collection_id = record.collection_id
        there = record.live + record.pending
        comparison = self._comparisons.setdefault(collection_id, _Comparison(last, there, last + 1))
        here = cache.rows_before(collection_id, comparison.next_row, _PAGE_COMPARED)
        if here:
            kept = index_reads.passage_ids_between(self._store, here[-1], here[0])
            gone = [row_id for row_id in here if row_id not in kept]
            done = cache.remove(collection_id, [(row_id, None) for row_id in gone], _PAGE_CHARS) if gone else 0
            comparison.next_row = here[-1] if done == len(gone) else gone[done - 1]
        else:
            del self._comparisons[collection_id]
            if (comparison.last_row, comparison.there) == (last, there):
                raise CacheUnusable(f"it counts more rows of collection {record.name} than it has")
            # The store has changed meanwhile: the next step compares again from the newest row.
        return True
