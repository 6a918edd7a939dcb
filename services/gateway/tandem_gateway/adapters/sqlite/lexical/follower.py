"""The index and the store that it follows, by row number; used by one thread.

A version of a document is a row of the store, whose text never changes and whose number is never used again. So the
index follows by taking in the rows after the last one it has, pending ones as well, and never has to take one out. A
search reads the store in one transaction: it takes in what is new, asks the index, and looks up the hits' rows. It thus
finds all that was acknowledged before it, and nothing that was deleted.

What it finds of a collection: the documents that dense search can find, and those that wait for their first vector.
"""

import logging
import time
from pathlib import Path

from tandem_gateway.adapters.sqlite import reads
from tandem_gateway.adapters.sqlite.connection import FILE_NAME as STORE_NAME
from tandem_gateway.adapters.sqlite.connection import connect, read_transaction, translated
from tandem_gateway.adapters.sqlite.lexical.cache import FILE_NAME, CacheUnusable, LexicalCache, remove
from tandem_gateway.errors import NotFound, NotReady, StorageUnavailable
from tandem_gateway.model import Hit

log = logging.getLogger(__name__)

_PAGE_ROWS = 500
_PAGE_CHARS = 1_000_000
# A search takes in so many new rows itself, for so long; further behind, it is refused until the index has caught up.
_MAX_BEHIND = 20_000
_MAX_CATCH_UP_SECONDS = 2.0
_MIN_GONE = 1000
_MAX_GONE_SHARE = 0.25
_PROGRESS_SECONDS = 5.0
_WORTH_TELLING = 10_000
# Hits are asked for with so many to spare, in place of those whose rows are gone.
_SPARE_HITS = 20


def is_worn(total: int, there: int) -> bool:
    """Return whether of so many rows in the index so few are left in the store that it is to be built anew.

    What is gone costs time and memory, and its words still count: a quarter of all, 1,000 at least.
    """
    return total - there >= _MIN_GONE and total - there > _MAX_GONE_SHARE * total


class LexicalFollower:
    """See the module."""

    def __init__(self, data_dir: Path) -> None:
        """Open both; an index that cannot be used is begun anew, one that cannot be opened is tried again when needed.

        Raises:
            StorageError: if the store cannot be read.
        """
        self._store_path = data_dir / STORE_NAME
        self._path = data_dir / FILE_NAME
        self._next_path = data_dir / f"{FILE_NAME}.next"
        self.noticed: list[str] = []
        self._store = connect(self._store_path, writable=False)
        self._current: LexicalCache | None = None
        self._next: LexicalCache | None = None
        self._began: tuple[float, int] | None = None
        self._told = 0.0
        try:
            with translated(self._store_path):
                self._store_id = reads.store_id(self._store)
                self._last_row()
        except BaseException:
            self._store.close()
            raise
        try:
            self._cache()
            if self._next_path.exists():
                self._next = self._open(self._next_path)
        except StorageUnavailable as error:
            log.error("the lexical index cannot be opened", extra={"error": str(error)})

    @property
    def total(self) -> int:
        """Rows that the index holds."""
        return self._cache().total

    def step(self) -> bool:
        """Take in a page of what is new, or do another piece of upkeep; return whether there is more to do.

        Raises:
            StorageError: if the store cannot be read, or the index not be written.
        """
        try:
            with translated(self._store_path), read_transaction(self._store):
                return self._step()
        except CacheUnusable as error:
            self._begin_anew(error)
            return True

    def search(self, collection: str, query: str, top_k: int, deadline: float) -> list[Hit]:
        """Return the hits; see ``LexicalIndex.search``.

        Args:
            collection: its name.
            query: what a person typed.
            top_k: hits at the most.
            deadline: in seconds of the monotonic clock.
        """
        try:
            with translated(self._store_path), read_transaction(self._store):
                record = reads.collection_by_name(self._store, collection)
                if record is None:
                    raise NotFound(f"collection: there is no collection {collection!r}", param="collection")
                cache = self._cache()
                self._catch_up(cache, min(deadline, time.monotonic() + _MAX_CATCH_UP_SECONDS))
                gone = max(0, cache.count(record.collection_id) - record.live)
                hits: list[Hit] = []
                for spare in sorted({min(gone, top_k + _SPARE_HITS), gone}):
                    found = cache.search(
                        record.collection_id, query, top_k + spare, lambda: time.monotonic() >= deadline
                    )
                    hits = self._hits(found, top_k)
                    if len(hits) == top_k or len(found) < top_k + spare:
                        break
                return hits
        except CacheUnusable as error:
            self._begin_anew(error)
            raise NotReady("the lexical index was damaged and is built anew from the store") from error

    def close(self) -> None:
        """Close everything."""
        for cache in (self._current, self._next):
            if cache is not None:
                cache.close()
        self._store.close()

    def _hits(self, found: list[tuple[int, float]], top_k: int) -> list[Hit]:
        rows = reads.findable_documents(self._store, [row_id for row_id, _ in found])
        there = [(rows[row_id], score) for row_id, score in found if row_id in rows]
        return [Hit(row.doc_id, score, row.text, row.metadata) for row, score in there[:top_k]]

    def _catch_up(self, cache: LexicalCache, until: float) -> None:
        last = self._last_row()
        while cache.position < last:
            if last - cache.position > _MAX_BEHIND or time.monotonic() >= until:
                raise NotReady(f"the lexical index is being built: it has taken in row {cache.position} of {last}")
            self._add_page(cache, last)

    def _step(self) -> bool:
        last = self._last_row()
        cache = self._cache()
        if cache.position < last:
            self._tell_of_building(cache.position, last)
            self._add_page(cache, last)
            return True
        self._tell_of_the_end(last)
        records = reads.collections(self._store)
        cache.keep_only(record.collection_id for record in records)
        there = sum(record.live + record.pending for record in records)
        if self._next is None and is_worn(cache.total, there):
            log.info("the lexical index is worn and built anew", extra={"rows": cache.total, "there": there})
            self._next = self._open(self._next_path)
        if self._next is None:
            return False
        if self._next.position < last:
            self._add_page(self._next, last)
            return True
        self._put_next_in_place()
        return False

    def _add_page(self, cache: LexicalCache, last: int) -> None:
        rows: list[tuple[int, int, str]] = []
        chars = 0
        for row in reads.rows_after(self._store, cache.position, _PAGE_ROWS):
            rows.append(row)
            chars += len(row[2])
            if chars >= _PAGE_CHARS:
                break
        complete = len(rows) < _PAGE_ROWS and chars < _PAGE_CHARS
        cache.add(rows, last if complete else rows[-1][0])

    def _last_row(self) -> int:
        return reads.counter(self._store, "row")

    def _cache(self) -> LexicalCache:
        if self._current is None:
            self._current = self._open(self._path)
        return self._current

    def _open(self, path: Path) -> LexicalCache:
        last = self._last_row()
        try:
            return LexicalCache(path, self._store_id, last)
        except CacheUnusable as error:
            self.noticed.append(f"{path.name} is rebuilt from the store: {error}")
            remove(path)
        try:
            return LexicalCache(path, self._store_id, last)
        except CacheUnusable as error:
            raise StorageUnavailable(f"{path} cannot be made: {error}") from error

    def _begin_anew(self, reason: CacheUnusable) -> None:
        """Throw the index away; the store has everything."""
        log.error("the lexical index is damaged and is built anew", extra={"error": str(reason)})
        for cache in (self._current, self._next):
            if cache is not None:
                cache.close()
        self._current = self._next = None
        remove(self._path)
        remove(self._next_path)

    def _put_next_in_place(self) -> None:
        """Let the index that was built anew take the place of the worn one."""
        assert self._current is not None
        assert self._next is not None
        # Closed, each is one file. A kill between the steps leaves both, or the new one alone under its first name.
        self._next.close()
        self._current.close()
        self._current = self._next = None
        remove(self._path)
        self._next_path.replace(self._path)

    def _tell_of_building(self, position: int, last: int) -> None:
        now = time.monotonic()
        if self._began is None:
            if last - position < _WORTH_TELLING:
                return
            self._began = (now, position)
            self._told = now - _PROGRESS_SECONDS
        if now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            log.info("building the lexical index", extra={"row": position, "of": last})

    def _tell_of_the_end(self, last: int) -> None:
        if self._began is not None:
            started, first = self._began
            self._began = None
            seconds = round(time.monotonic() - started, 3)
            log.info("lexical index built", extra={"rows": last - first, "seconds": seconds})
