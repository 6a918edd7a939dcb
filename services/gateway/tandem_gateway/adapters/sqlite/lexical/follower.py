"""Keeps the keyword index up to date with the store, by row number, and answers searches. Used by one thread.

A version of a document is a row of the store. Its text never changes, and its number is never reused. The follower adds
the rows after the last one in the index, including pending rows. It removes the rows that the store no longer has, so
that rankings count only existing documents. A search reads the store in one transaction: it adds new rows, queries the
index, and looks up the hits' rows. A search therefore finds every write that was acknowledged before it, and no deleted
document.

``removal`` finds the rows that the store no longer has.

A search finds the documents that vector search can find, and new documents without a vector.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from tandem_gateway.adapters.sqlite import counters, index_reads, reads
from tandem_gateway.adapters.sqlite.connection import FILE_NAME as STORE_NAME
from tandem_gateway.adapters.sqlite.connection import connect, read_transaction, translated
from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME, CacheOutdated, CacheUnusable, remove
from tandem_gateway.adapters.sqlite.lexical.progress import BuildProgress
from tandem_gateway.adapters.sqlite.lexical.removal import Removal
from tandem_gateway.adapters.sqlite.log_truncation import Outcome
from tandem_gateway.errors import NotFound, NotReady, StorageUnavailable
from tandem_gateway.hydration import hits
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.notices import RoutineNotice
from tandem_gateway.records.search import Hit, ScoredPassage

log = logging.getLogger(__name__)

_PAGE_ROWS = 500
# A search waits for the current page; the terms of a million characters may take two seconds.
_PAGE_CHARS = 250_000
# Maximum number of new rows that a search adds itself, and the maximum time for it. If the index is further behind,
# searches are refused until it has caught up.
_MAX_BEHIND = 20_000
_MAX_CATCH_UP_SECONDS = 2.0
# A search removes a few rows itself, so that rankings do not count documents that were just deleted. It skips the other
# deleted rows among its hits.
_SEARCH_REMOVES = 50
_SEARCH_REMOVED_CHARS = 25_000
# The follower merges a collection's segments when this share of its documents was removed, and otherwise after this
# time. Then the file has no word of the removed documents. A merge reads and writes the collection's whole index.
_REMOVED_SHARE = 0.1
_MERGE_SECONDS = 3600.0
# Number of extra hits to request, to replace hits whose rows no longer exist.
_SPARE_HITS = 20


class LexicalFollower:
    """Follows the store and searches the index; see the module."""

    def __init__(self, data_dir: Path, on_truncation: Callable[[Outcome], None] = lambda outcome: None) -> None:
        """Open the store and the index. Rebuild an unusable index; retry later if the index cannot be opened.

        Args:
            data_dir: the data directory.
            on_truncation: called with the outcome of each attempt to take removed content out of the index's log.

        Raises:
            StorageError: if the store cannot be read.
        """
        self._store_path = data_dir / STORE_NAME
        self._path = data_dir / FILE_NAME
        self._on_truncation = on_truncation
        self.notices: list[str] = []
        self._store = connect(self._store_path, writable=False)
        self._current: LexicalCache | None = None
        self._removal = Removal(self._store)
        # Collection → monotonic time since when removed documents wait for a merge.
        self._unmerged_since: dict[int, float] = {}
        self._progress = BuildProgress()
        try:
            with translated(self._store_path):
                self._store_id = reads.store_id(self._store)
                self._last_row()
        except BaseException:
            self._store.close()
            raise
        try:
            remove(data_dir / f"{FILE_NAME}.next")  # left by an earlier version
            self._cache()
        except StorageUnavailable as error:
            log.error("the keyword index cannot be opened", extra={"error": str(error)})

    @property
    def total(self) -> int:
        """Number of documents in the index."""
        return self._cache().total

    @property
    def idle_seconds(self) -> float | None:
        """Seconds after which ``step`` has work without a change in the store; None if that is not known."""
        return None if self._current is None else self._current.truncation_seconds_left()

    def step(self) -> bool:
        """Add a page of new rows, or do another piece of maintenance; return whether there is more to do.

        Raises:
            StorageError: if the store cannot be read, or the index cannot be written.
        """
        if self._current is not None:
            self._current.truncate_log_if_due()  # before anything that may raise, so that it keeps its pace
        try:
            with translated(self._store_path), read_transaction(self._store):
                return self._step()
        except CacheUnusable as error:
            self._start_over(error)
            return True

    def search(
        self, collection: str, query: str, top_k: int, deadline: float, max_bytes: int | None = None
    ) -> list[Hit]:
        """Return the hits; see ``LexicalIndex.search``.

        Args:
            collection: name of the collection.
            query: the query's text.
            top_k: maximum number of hits.
            deadline: in seconds of the monotonic clock.
            max_bytes: maximum size of the hits' texts and metadata.

        Raises:
            TooManyBytes: if the hits take more; reading stops there.
        """
        try:
            with translated(self._store_path), read_transaction(self._store):
                record = reads.collection_by_name(self._store, collection)
                if record is None:
                    raise NotFound(f"collection: there is no collection {collection!r}", param="collection")
                cache = self._cache()
                self._catch_up(cache, min(deadline, time.monotonic() + _MAX_CATCH_UP_SECONDS))
                with contextlib.suppress(StorageUnavailable):  # a full disk: the search skips deleted rows
                    self._removal.remove_known(cache, record, _SEARCH_REMOVES, _SEARCH_REMOVED_CHARS)
                # Rows to skip: deleted rows that are still in the index, and pending versions of live documents.
                gone = max(0, cache.count(record.collection_id) - record.live)
                ranked: list[ScoredPassage] = []
                for spare in sorted({min(gone, top_k + _SPARE_HITS), gone}):
                    found = cache.search(
                        record.collection_id, query, top_k + spare, lambda: time.monotonic() >= deadline
                    )
                    ranked = self._ranked(found, top_k)
                    if len(ranked) == top_k or len(found) < top_k + spare:
                        break
                # In the same transaction, so that every ranked passage still exists.
                return hits(ranked, index_reads.passages(self._store, [each.passage_id for each in ranked], max_bytes))
        except CacheUnusable as error:
            self._start_over(error)
            raise NotReady("the keyword index was damaged and is rebuilt from the store") from error

    def close(self) -> None:
        """Close the index and the store."""
        if self._current is not None:
            self._current.close()
        self._store.close()

    def _ranked(self, found: list[tuple[int, float]], top_k: int) -> list[ScoredPassage]:
        """Return the first ``top_k`` passages that keyword search may show."""
        ranked: list[ScoredPassage] = []
        start = 0
        while start < len(found) and len(ranked) < top_k:
            page = found[start : start + top_k - len(ranked)]
            start += len(page)
            shown = index_reads.findable(self._store, [passage_id for passage_id, _ in page])
            ranked += [ScoredPassage(*each) for each in page if each[0] in shown]
        return ranked

    def _catch_up(self, cache: LexicalCache, until: float) -> None:
        last = self._last_row()
        while cache.position < last:
            if last - cache.position > _MAX_BEHIND or time.monotonic() >= until:
                raise NotReady(f"the keyword index is being built: row {cache.position} of {last} is done")
            self._add_page(cache, last)

    def _step(self) -> bool:
        last = self._last_row()
        cache = self._cache()
        if cache.position < last:
            self._progress.building(cache.position, last)
            self._add_page(cache, last)
            return True
        self._progress.finished(last)
        records = reads.collections(self._store)
        there = {record.collection_id for record in records}
        cache.keep_only(there)
        self._removal.keep_only(there)
        for gone in self._unmerged_since.keys() - there:
            del self._unmerged_since[gone]
        return any(self._removal.remove_page(cache, record, last) for record in records) or any(
            self._merge(cache, record) for record in records
        )

    def _merge(self, cache: LexicalCache, record: CollectionRecord) -> bool:
        """Do a part of a due merge; return whether there is more to do."""
        collection_id = record.collection_id
        removed = cache.removed(collection_id)
        if not removed:
            self._unmerged_since.pop(collection_id, None)
            return False
        since = self._unmerged_since.setdefault(collection_id, time.monotonic())
        if removed < _REMOVED_SHARE * cache.count(collection_id) and time.monotonic() - since < _MERGE_SECONDS:
            return False
        if cache.merge(collection_id):
            return True
        del self._unmerged_since[collection_id]
        return cache.removed(collection_id) > 0

    def _add_page(self, cache: LexicalCache, last: int) -> None:
        rows: list[tuple[int, int, str]] = []
        chars = 0
        for row in index_reads.passages_after(self._store, cache.position, _PAGE_ROWS):
            rows.append(row)
            chars += len(row[2])
            if chars >= _PAGE_CHARS:
                break
        complete = len(rows) < _PAGE_ROWS and chars < _PAGE_CHARS
        cache.add(rows, last if complete else rows[-1][0])

    def _last_row(self) -> int:
        return counters.value(self._store, "passage")

    def _cache(self) -> LexicalCache:
        if self._current is None:
            self._current = self._open(self._path)
        return self._current

    def _open(self, path: Path) -> LexicalCache:
        last = self._last_row()
        try:
            return LexicalCache(path, self._store_id, last, self._on_truncation)
        except CacheUnusable as error:
            line = f"{path.name} is rebuilt from the store: {error}"
            self.notices.append(RoutineNotice(line) if isinstance(error, CacheOutdated) else line)
            remove(path)
        try:
            return LexicalCache(path, self._store_id, last, self._on_truncation)
        except CacheUnusable as error:
            raise StorageUnavailable(f"{path} cannot be made: {error}") from error

    def _start_over(self, reason: CacheUnusable) -> None:
        """Delete the index; the next step rebuilds it from the store."""
        log.error("the keyword index is damaged and is rebuilt", extra={"error": str(reason)})
        if self._current is not None:
            self._current.close()
        self._current = None
        self._removal.keep_only(())
        self._unmerged_since.clear()
        remove(self._path)
