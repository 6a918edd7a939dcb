"""Removes the passages from the keyword index that the store no longer has.

The store's log names each removed passage until every index that follows it has applied the removal. An index that has
missed removals holds more passages than the store, and starts over. This happens only if

- the store dropped the removals because the index was too far behind; see ``retention.REMOVALS_KEPT``,
- the index was never reported to the store for the collection, as right after the upgrade of an older store, or
- an older release wrote the index: that release kept no record of the removal of pending passages.
"""

from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import CacheOutdated, CacheUnusable
from tandem_gateway.ports.text_log import TextLog
from tandem_gateway.records.documents import CollectionRecord

# Maximum number of removals that one step applies.
_PAGE_REMOVED = 200
# A search waits for the current page; the terms of a million characters may take two seconds.
_PAGE_CHARS = 250_000


class Removal:
    """Applies the store's removals to the index, a page at a time. Call it while ``TextLog.reading`` is open."""

    def __init__(self, log: TextLog) -> None:
        """Read the removals from this log."""
        self._log = log
        self._followed = 0
        # Collections that have more passages than documents, as counted in the store.
        self._counted: set[int] = set()

    def start_over(self) -> None:
        """Forget everything about the index, which is deleted."""
        self._followed = 0
        self._counted.clear()

    def remove_page(self, cache: LexicalCache, records: list[CollectionRecord]) -> bool:
        """Apply a page of removals; return whether there may be more. The index must have every passage of the store.

        Args:
            cache: of the index.
            records: all collections.

        Raises:
            CacheOutdated: if the index has missed removals.
            CacheUnusable: if the index lacks passages.
        """
        last = self._log.last_change()
        changed = set(self._log.changed_spaces(self._followed))
        for record in records:
            if record.space_id in changed and self.remove_of(cache, record, _PAGE_REMOVED, _PAGE_CHARS):
                return True
        for record in records:
            self._check_count(cache, record)
        self._followed = last
        return False

    def remove_of(self, cache: LexicalCache, record: CollectionRecord, limit: int, max_chars: int) -> bool:
        """Apply a page of a collection's removals; return whether there was any.

        Args:
            cache: of the index, which has every passage of the store.
            record: the collection.
            limit: maximum number of removals.
            max_chars: limit of the removed texts' characters; see ``LexicalCache.remove``.
        """
        collection_id = record.collection_id
        last = self._log.last_change()
        if cache.has(collection_id):
            page = self._log.removals(collection_id, after=cache.removals.of(collection_id), limit=limit)
            if not page.whole:
                self._counted.discard(collection_id)  # so that ``remove_page`` counts, after the last removal
            if page.removals:
                done = cache.remove(collection_id, page.removals, max_chars)
                if done == len(page.removals) < limit:
                    cache.removals.passed(collection_id, last)
                return True
        cache.removals.passed(collection_id, last)
        return False

    def _check_count(self, cache: LexicalCache, record: CollectionRecord) -> None:
        """Compare the number of a collection's passages with the store's, after the last removal.

        The index has every passage of the store. With an equal number, it has missed no removal.
        """
        documents = record.live + record.pending
        count = cache.count(record.collection_id)
        if count == documents or (count > documents and record.collection_id in self._counted):
            return
        passages = self._log.passage_count(record.collection_id)
        if count > passages:
            raise CacheOutdated(f"it has missed removals from collection {record.name}")
        if count < passages:
            raise CacheUnusable(f"it lacks passages of collection {record.name}")
        self._counted.add(record.collection_id)
