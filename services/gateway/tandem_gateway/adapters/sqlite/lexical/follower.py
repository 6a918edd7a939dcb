"""Keeps the keyword index up to date with the store, and answers searches. Used by one thread.

A passage's text never changes, and its id is never reused. The follower adds the passages after the last one in the
index, including pending ones. It removes the passages that the store no longer has, so that rankings count only
existing documents. A search reads the store in one state: it adds new passages, queries the index, and looks up the
hits' documents. A search therefore finds every write that was acknowledged before it, and no deleted document.

``removal`` applies the store's removals. ``positions`` reports to the store how far, so that the store may forget them.

A search finds the documents that vector search can find, and new documents without a vector.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME, CacheOutdated, CacheUnusable, remove
from tandem_gateway.adapters.sqlite.lexical.literals import are_among
from tandem_gateway.adapters.sqlite.lexical.positions import Record, Reports
from tandem_gateway.adapters.sqlite.lexical.progress import BuildProgress
from tandem_gateway.adapters.sqlite.lexical.removal import Removal
from tandem_gateway.adapters.sqlite.log_truncation import Outcome
from tandem_gateway.analysis.query_syntax import has_signs, parse
from tandem_gateway.errors import NotFound, NotReady, StorageUnavailable
from tandem_gateway.hydration import hits
from tandem_gateway.ports.text_log import TextFeed
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.notices import RoutineNotice
from tandem_gateway.records.search import Hit, KeywordCandidates, RankedPassage

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
# The follower merges a collection's segments when this share of its passages was removed, and otherwise after this
# time. Then the file has no word of the removed passages. A merge reads and writes the collection's whole index.
_REMOVED_SHARE = 0.1
_MERGE_SECONDS = 3600.0
# Number of extra hits to request, to replace hits that no longer exist.
_SPARE_HITS = 20
# Limits of a search in memory: the length of its query, and the postings that it scores.
_AT_ONCE_CHARS = 256
_AT_ONCE_POSTINGS = 10_000


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
        # Collection → monotonic time since when removed passages wait for a merge.
        self._unmerged_since: dict[int, float] = {}
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
        return 0 if cache is None else cache.bytes

    def bytes_of(self, collection_id: int) -> int:
        """See ``LexicalIndex.bytes_of``."""
        cache = self._current
        return 0 if cache is None else cache.bytes_of(collection_id)

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

        def search() -> list[Hit]:
            ranked = self._retrieve(collection, query, top_k, deadline).passages
            # In the same state of the store, so that every ranked passage still exists.
            with self._feed.reading():
                return hits(ranked, self._feed.passages([each.passage_id for each in ranked], max_bytes))

        return self._in_one_state(collection, search)

    def retrieve(
        self, collection: str, query: str, count: int, deadline: float, among: Keys | None = None
    ) -> KeywordCandidates:
        """Return up to ``count`` passages without their documents; see ``LexicalIndex.retrieve``."""
        return self._in_one_state(collection, lambda: self._retrieve(collection, query, count, deadline, among))

    def retrieve_in_memory(
        self, collection: str, query: str, count: int, among: Keys | None = None
    ) -> KeywordCandidates | None:
        """Return what ``retrieve`` does if that reads nothing and takes less than about a millisecond, else None."""
        cache, record = self._current, self._complete.get(collection)
        if cache is None or record is None or len(query) > _AT_ONCE_CHARS or has_signs(query):
            return None
        if self._feed.version() != self._complete_at or cache.count(record.collection_id) != record.live:
            return None
        kept = None if among is None else (lambda keys: are_among(keys, among))
        found = cache.search_in_memory(record.collection_id, query, count, _AT_ONCE_POSTINGS, kept)
        return None if found is None else KeywordCandidates(_as_ranked(found.rows, count), found.weight)

    def allowed(self, collection: str, query: str, deadline: float) -> Keys:
        """Return the passages that a query does not leave out; see ``LexicalIndex.allowed``."""

        def allowed() -> Keys:
            record, cache = self._followed(collection, deadline)
            return cache.allowed(record.collection_id, parse(query), lambda: time.monotonic() >= deadline)

        return self._in_one_state(collection, allowed)

    def close(self) -> None:
        """Close the index and the feed."""
        if self._current is not None:
            self._current.close()
        self._feed.close()

    def _in_one_state(self, collection: str, answer: Callable[[], R]) -> R:
        """Let ``answer`` read the store in one state; rebuild an index that proves to be damaged.

        If the index has everything of the collection, there is no transaction: its answer counts if the store has not
        changed meanwhile. Such an answer usually reads nothing from the disk.
        """
        try:
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
        asked = parse(query)
        if asked.only_exclusions:
            return KeywordCandidates([], 0.0)

        def out_of_time() -> bool:
            return time.monotonic() >= deadline

        constraint = cache.constraint(record.collection_id, asked, out_of_time)
        # Passages to skip: deleted ones that are still in the index, and pending versions of live documents.
        indexed = cache.count(record.collection_id)
        gone = max(0, indexed - record.live)
        # The index has every passage that may be shown: with as many as there are live documents, no others.
        shown = _as_ranked if indexed == record.live else self._ranked
        ranked: list[RankedPassage] = []
        weight = 0.0

        def kept(keys: Keys) -> npt.NDArray[np.bool_]:
            stay = constraint.kept(keys)
            return stay if among is None else stay & are_among(keys, among)

        selects = kept if among is not None or asked.constrained else None
        for spare in sorted({min(gone, count + _SPARE_HITS), gone}):
            found, weight = cache.search(record.collection_id, asked, count + spare, out_of_time, selects)
            ranked = shown(found, count)
            if len(ranked) == count or len(found) < count + spare:
                break
        return KeywordCandidates(ranked, weight)

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

    def _ranked(self, found: list[tuple[int, float]], top_k: int) -> list[RankedPassage]:
        """Return the first ``top_k`` passages that keyword search may show."""
        ranked: list[RankedPassage] = []
        start = 0
        while start < len(found) and len(ranked) < top_k:
            page = found[start : start + top_k - len(ranked)]
            start += len(page)
            shown = self._feed.findable([passage_id for passage_id, _ in page])
            ranked += _as_ranked([each for each in page if each[0] in shown], top_k)
        return ranked

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
        for gone in self._unmerged_since.keys() - there:
            del self._unmerged_since[gone]
        return (
            self._removal.remove_page(cache, records)
            or any(
                cache.set_language(record.collection_id, record.language, _PAGE_PASSAGES, _PAGE_CHARS)
                for record in records
            )
            or any(self._merge(cache, record) for record in records)
        )

    def _report(self, now: float) -> None:
        """Report to the store, if that is due, up to which change it may forget removals."""
        cache = self._current
        if cache is not None and self._reports.due(cache.removals.all(), now):
            cache.sync_removals()
            self._reports.report(cache.removals.all(), now)

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
        self._unmerged_since.clear()
        remove(self._path)


def _as_ranked(found: Sequence[tuple[int, float]], top_k: int) -> list[RankedPassage]:
    return [RankedPassage(key, score, None, score) for key, score in found[:top_k]]
