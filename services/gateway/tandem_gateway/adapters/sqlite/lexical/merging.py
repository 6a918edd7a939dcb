"""Decides when the keyword index merges a collection's segments, so that the words of removed passages leave the file.

A merge reads and writes the collection's whole index.
"""

import time
from collections.abc import Set

from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache

# A collection is merged when this share of its passages was removed, and otherwise after this time.
_REMOVED_SHARE = 0.1
_MERGE_SECONDS = 3600.0


class Merging:
    """Merges the collections of an index when that is due, a part at a time."""

    def __init__(self) -> None:
        """Begin with an index of which nothing is known."""
        # Collection → monotonic time since when removed passages wait for a merge.
        self._waiting_since: dict[int, float] = {}

    def step(self, cache: LexicalCache, collection_id: int) -> bool:
        """Do a part of a collection's merge, if that is due; return whether there is more to do."""
        removed = cache.removed(collection_id)
        if not removed:
            self._waiting_since.pop(collection_id, None)
            return False
        since = self._waiting_since.setdefault(collection_id, time.monotonic())
        if removed < _REMOVED_SHARE * cache.count(collection_id) and time.monotonic() - since < _MERGE_SECONDS:
            return False
        if cache.merge(collection_id):
            return True
        del self._waiting_since[collection_id]
        return cache.removed(collection_id) > 0

    def keep_only(self, collection_ids: Set[int]) -> None:
        """Forget all other collections."""
        for gone in self._waiting_since.keys() - collection_ids:
            del self._waiting_since[gone]

    def start_over(self) -> None:
        """Forget everything about the index, which is deleted."""
        self._waiting_since.clear()
