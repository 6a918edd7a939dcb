"""Keeps the keyword index up to date with the store, and answers searches. Used by one thread.

A passage's text never changes, and its id is never reused. The follower adds the passages after the last one in the
index, including pending ones. It removes the passages that the store no longer has, so that rankings count only
existing documents. A search reads the store in one state: it adds new passages, queries the index, and looks up the
hits' documents. A search therefore finds every write that was acknowledged before it, and no deleted document.

``removal`` applies the store's removals, ``merging`` takes their words out of the file, and ``candidates`` selects the
passages of a search. ``positions`` reports to the store how far, so that the store may forget them.

A search finds the documents that vector search can find, and new documents without a vector.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.candidates import select, select_in_memory
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME, CacheOutdated, CacheUnusable, remove
from tandem_gateway.adapters.sqlite.lexical.merging import Merging
from tandem_gateway.adapters.sqlite.lexical.positions import Record, Reports
from tandem_gateway.adapters.sqlite.lexical.progress import BuildProgress
from tandem_gateway.adapters.sqlite.lexical.removal import Removal
from tandem_gateway.adapters.sqlite.log_truncation import Outcome
from tandem_gateway.analysis.query_syntax import parse
from tandem_gateway.errors import NotFound, NotReady, StorageUnavailable
from tandem_gateway.hydration import hits
from tandem_gateway.ports.text_log import TextFeed
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.notices import RoutineNotice
from tandem_gateway.records.search import Hit, KeywordCandidates

log = logging.getLogger(__name__)

R = TypeVar("R")

_PAGE_PASSAGES = 500
# A search waits for the current page; the terms of a million characters may take two seconds.
_PAGE_CHARS = 250_000
# Maximum number of new passages that a search adds itself, and the maximum time for it. If the index is further behind,
# searches are refused until it has caught up.
_MAX_BEHIND = 20_000
_MAX_CATCH_UP_SECONDS = 2.0
# A search removes a few passages itself, so that rankings do not count documents that were just deleted. It skips the
# other deleted passages among its hits.
_SEARCH_REMOVES = 50
_SEARCH_REMOVED_CHARS = 25_000


class LexicalFollower:
    """Follows the store and searches the index; see the module."""

    def __init__(
        self,
        data_dir: Path,
        feed: TextFeed,
        *,
        on_truncation: Callable[[Outcome], None] = lambda outcome: None,
        record: Record | None = None,
    ) -> None:
        """Open the index. Rebuild an unusable index; retry later if the index cannot be opened.

        Args:
            data_dir: the data directory.
            feed: reads the store; the follower closes it.
            on_truncation: called with the outcome of each attempt to take removed content out of the index's log.
            record: records the positions of the index in the store; see ``FollowerPositions``.

        Raises:
            StorageError: if the store cannot be read.
        """
        self._feed = feed
        self._path = data_dir / FILE_NAME
        self._on_truncation = on_truncation
        self.notices: list[str] = []
        self._current: LexicalCache | None = None
        self._removal = Removal(feed)
        self._reports = Reports(record)
        self._merging = Merging()
        self._progress = BuildProgress()
        # The store's version, None if it is not known; and the collections that the index has completely as of it.
        self._complete_at: int | None = None
        self._complete: dict[str, CollectionRecord] = {}
        try:
            self._store_id = feed.store_id()
            feed.last_passage()
        except BaseException:
            feed.close()
            raise
        try:
            remove(data_dir / f"{FILE_NAME}.next")  # left by an earlier version
            self._cache()
        except StorageUnavailable as error:
            log.error("the keyword index cannot be opened", extra={"error": str(error)})

    @property
    def total(self) -> int:
        """Number of passages in the index."""
        return self._cache().total

    @property
    def bytes(self) -> int:
        """See ``LexicalIndex.bytes``."""
        cache = self._current
        return 0 if cache is None else cache.searcher.bytes

    def bytes_of(self, collection_id: int) -> int:
        """See ``LexicalIndex.bytes_of``."""
        cache = self._current
        return 0 if cache is None else cache.searcher.bytes_of(collection_id)

    @property
    def idle_seconds(self) -> float | None:
        """Seconds after which ``step`` has work without a change in the store; None if that is not known."""
        return None if self._current is None else self._current.truncation_seconds_left()

    def step(self) -> bool:
        """Add a page of new passages, or do another piece of maintenance; return whether there is more to do.

        Raises:
            StorageError: if the store cannot be read, or the index cannot be written.
        """
        if self._current is not None:
            self._current.truncate_log_if_due()  # before anything that may raise, so that it keeps its pace
        try:
            with self._feed.reading():
                more = self._step()
            self._report(time.monotonic())
            return more
        except CacheUnusable as error:
            self._start_over(error)
            return True

    def search(
        self,
        collection: str,
        query: str,
        top_k: int,
        deadline: float,
        max_bytes: int | None = None,
        at_least: int | None = None,
    ) -> list[Hit]:
        """Return the hits; see ``LexicalIndex.search``.

        Args:
            collection: name of the collection.
            query: the query's text.
            top_k: maximum number of hits.
            deadline: in seconds of the monotonic clock.
            max_bytes: maximum size of the hits' texts and metadata.
            at_least: position that the index must have; None to ask the store for the last one.

        Raises:
            TooManyBytes: if the hits take more; reading stops there.
        """
        whole = True

        def search() -> list[Hit]:
            nonlocal whole
            ranked = self._retrieve(collection, query, top_k, deadline).passages
            # If the store has changed meanwhile, a ranked passage may be gone. Each caller notices that.
            found = hits(ranked, self._feed.passages([each.passage_id for each in ranked], max_bytes))
            whole = len(found) == len(ranked)
            return found

        found = self._in_one_state(collection, search, at_least)
        # ``_in_one_state`` notices a change, unless the index had the position. Then a document that the index has was
        # replaced or deleted since.
        return found if whole or at_least is None else self._in_one_state(collection, search)

    def retrieve(
        self,
        collection: str,
        query: str,
        count: int,
        deadline: float,
        among: Keys | None = None,
        at_least: int | None = None,
    ) -> KeywordCandidates:
        """Return up to ``count`` passages without their documents; see ``LexicalIndex.retrieve``, and ``search``."""
        return self._in_one_state(
            collection, lambda: self._retrieve(collection, query, count, deadline, among), at_least
        )

    def retrieve_in_memory(
        self, collection: str, query: str, count: int, among: Keys | None = None, at_least: int | None = None
    ) -> KeywordCandidates | None:
        """Return what ``retrieve`` does if that reads nothing and takes less than about a millisecond, else None."""
        cache, record = self._current, self._complete.get(collection)
        if cache is None or record is None:
            return None
        if not self._has(collection, at_least) and (at_least is not None or self._feed.version() != self._complete_at):
            return None
        return select_in_memory(cache, record, query, count, among)

    def allowed(self, collection: str, query: str, deadline: float, at_least: int | None = None) -> Keys:
        """Return the passages that a query does not leave out; see ``LexicalIndex.allowed``."""

        def allowed() -> Keys:
            record, cache = self._followed(collection, deadline)
            return cache.searcher.allowed(record.collection_id, parse(query), lambda: time.monotonic() >= deadline)

        return self._in_one_state(collection, allowed, at_least)

    def close(self) -> None:
        """Close the index and the feed."""
        if self._current is not None:
            self._current.close()
        self._feed.close()

    def _has(self, collection: str, at_least: int | None) -> bool:
        """Return whether the index has exactly what a collection had at a position of the store, or at a later one.

        False if the index has more passages than search may show: only the store tells them apart.
        """
        if at_least is None or self._complete_at is None or self._complete_at < at_least:
            return False
        record, cache = self._complete.get(collection), self._current
        return record is not None and cache is not None and cache.count(record.collection_id) == record.live

    def _in_one_state(self, collection: str, answer: Callable[[], R], at_least: int | None = None) -> R:
        """Let ``answer`` read the store in one state; rebuild an index that proves to be damaged.

        If the index has everything of the collection, there is no transaction: its answer counts if the store has not
        changed meanwhile. Such an answer usually reads nothing from the disk. Nor is there a transaction if the index
        has what the collection had at the position ``at_least``.
        """
        try:
            if self._has(collection, at_least):
                return answer()
            version = self._feed.version()
            if version == self._complete_at and collection in self._complete:
                found = answer()
                if self._feed.version() == version:
                    return found
            with self._feed.reading():
                self._feed.last_passage()  # the first read: from here on, all reads see the state of now
                self._note_version(version if self._feed.version() == version else None)
                return answer()
        except CacheUnusable as error:
            self._start_over(error)
            raise NotReady("the keyword index was damaged and is rebuilt from the store") from error

    def _note_version(self, version: int | None) -> None:
        """Record the version of the state that is read from now on; None if it is not known."""
        if version is None or version != self._complete_at:
            self._complete.clear()
        self._complete_at = version

    def _retrieve(
        self, collection: str, query: str, count: int, deadline: float, among: Keys | None = None
    ) -> KeywordCandidates:
        record, cache = self._followed(collection, deadline)
        return select(cache, self._feed, record, parse(query), count, lambda: time.monotonic() >= deadline, among)

    def _followed(self, collection: str, deadline: float) -> tuple[CollectionRecord, LexicalCache]:
        """Return a collection and the index, once it has the collection's last passages."""
        complete = self._complete.get(collection)
        if complete is not None:
            return complete, self._cache()
        record = self._feed.collection(collection)
        if record is None:
            raise NotFound(f"collection: there is no collection {collection!r}", param="collection")
        cache = self._cache()
        self._catch_up(cache, min(deadline, time.monotonic() + _MAX_CATCH_UP_SECONDS))
        with contextlib.suppress(StorageUnavailable):  # a full disk: the search skips deleted passages
            more = self._removal.remove_of(cache, record, _SEARCH_REMOVES, _SEARCH_REMOVED_CHARS)
            if not more and self._complete_at is not None:
                self._complete[collection] = record
        return record, cache

    def _catch_up(self, cache: LexicalCache, until: float) -> None:
        last = self._feed.last_passage()
        while cache.position < last:
            if last - cache.position > _MAX_BEHIND or time.monotonic() >= until:
                raise NotReady(f"the keyword index is being built: passage {cache.position} of {last} is done")
            self._add_page(cache)

    def _step(self) -> bool:
        last = self._feed.last_passage()
        cache = self._cache()
        if cache.position < last:
            self._progress.building(cache.position, last)
            self._add_page(cache)
            return True
        self._progress.finished(last)
        records = self._feed.collections()
        there = {record.collection_id for record in records}
        cache.keep_only(there)
        self._merging.keep_only(there)
        return (
            self._removal.remove_page(cache, records)
            or any(
                cache.set_language(record.collection_id, record.language, _PAGE_PASSAGES, _PAGE_CHARS)
                for record in records
            )
            or any(self._merging.step(cache, record.collection_id) for record in records)
        )

    def _report(self, now: float) -> None:
        """Report to the store, if that is due, up to which change it may forget removals."""
        cache = self._current
        if cache is not None and self._reports.due(cache.removals.all(), now):
            cache.sync_removals()
            self._reports.report(cache.removals.all(), now)

    def _add_page(self, cache: LexicalCache) -> None:
        page = self._feed.texts(cache.position, limit=_PAGE_PASSAGES, max_chars=_PAGE_CHARS)
        languages = {record.collection_id: record.language for record in self._feed.collections()}
        cache.add(page.passages, page.upto, self._feed.last_change(), languages)

    def _cache(self) -> LexicalCache:
        if self._current is None:
            self._current = self._open(self._path)
        return self._current

    def _open(self, path: Path) -> LexicalCache:
        ends = self._feed.last_passage(), self._feed.last_change()
        try:
            return LexicalCache(path, self._store_id, *ends, self._on_truncation)
        except CacheUnusable as error:
            line = f"{path.name} is rebuilt from the store: {error}"
            self.notices.append(RoutineNotice(line) if isinstance(error, CacheOutdated) else line)
            remove(path)
        try:
            return LexicalCache(path, self._store_id, *ends, self._on_truncation)
        except CacheUnusable as error:
            raise StorageUnavailable(f"{path} cannot be made: {error}") from error

    def _start_over(self, reason: CacheUnusable) -> None:
        """Delete the index; the next step rebuilds it from the store."""
        if isinstance(reason, CacheOutdated):
            log.warning("the keyword index is outdated and is rebuilt", extra={"reason": str(reason)})
        else:
            log.error("the keyword index is damaged and is rebuilt", extra={"error": str(reason)})
        if self._current is not None:
            self._current.close()
        self._current = None
        self._note_version(None)
        self._removal.start_over()
        self._merging.start_over()
        remove(self._path)
