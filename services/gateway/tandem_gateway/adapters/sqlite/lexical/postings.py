"""Ranks passages by BM25 from postings in memory, with the scores that FTS5's ``bm25()`` gives.

FTS5 scores each match with a call per match, which takes 1.7 µs. This class reads the postings of a term once and keeps
them until the collection changes. Numpy then scores all matches of a query together, with the formula of FTS5 and in
its order, so that the scores are equal to the last bit (https://www.sqlite.org/fts5.html, "The bm25() function"). To
read postings takes no longer than to let FTS5 score them, so a search right after a change costs what it would anyway.

The memory has a limit. Over it, the postings go that no search has used for the longest time. A collection whose
passages alone take too much is left to FTS5.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tandem_gateway.adapters.sqlite.lexical import bm25
from tandem_gateway.adapters.sqlite.lexical.file import TOO_LATE, CacheUnusable
from tandem_gateway.adapters.sqlite.lexical.postings_reader import PostingsReader
from tandem_gateway.adapters.sqlite.lexical.query import STEM_WEIGHT
from tandem_gateway.analysis.terms import QueryTerm
from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.records.arrays import Keys

MAX_BYTES: Final = 32 << 20
"""Limit of the memory for all collections."""
_PASSAGES_SHARE: Final = 0.75
"""If the ids and lengths of a collection's passages take more of the limit, FTS5 ranks them."""
# If more passages were removed since the last search, the whole collection is read again.
_MAX_REMOVED: Final = 10_000
# A place in the array of scores costs about a tenth of a posting.
_PLACES_PER_POSTING: Final = 10
# Estimated size of the objects around the arrays of a posting list.
_OVERHEAD_BYTES: Final = 400

Kept = Callable[[Keys], npt.NDArray[np.bool_]]
"""Tells which of some passages a search may return."""

_Column = Literal["exact", "stem"]
_WEIGHTS: Final[dict[_Column, float]] = {"exact": 1.0, "stem": STEM_WEIGHT}
_Name = tuple[str, _Column]


class _PostingList(NamedTuple):
    """The passages with a term in one column."""

    rows: npt.NDArray[np.int32]
    """Places in the collection's passages, ``(n,)``, ascending."""
    counts: npt.NDArray[np.unsignedinteger]
    """How often each of them has the term, ``(n,)``."""

    @property
    def bytes(self) -> int:
        return self.rows.nbytes + self.counts.nbytes + _OVERHEAD_BYTES


class _Collection:
    """The passages of a collection, and the posting lists that are in memory."""

    def __init__(self) -> None:
        self.ids: npt.NDArray[np.int64] = np.empty(0, np.int64)
        """Ascending."""
        self.lengths: npt.NDArray[np.int32] = np.empty(0, np.int32)
        """Number of terms of each passage, in both columns."""
        self.average_length = 0.0
        self.added = True
        """Whether there may be passages after the last one in ``ids``."""
        self.removed: list[int] = []
        """Passages that are still in ``ids``."""
        self.lists: OrderedDict[_Name, _PostingList] = OrderedDict()
        """The least recently used first."""
        self.list_bytes = 0

    @property
    def bytes(self) -> int:
        return self.ids.nbytes + self.lengths.nbytes + self.list_bytes

    def changed(self) -> None:
        self.lists.clear()
        self.list_bytes = 0

    def keep(self, name: _Name, found: _PostingList) -> None:
        self.lists[name] = found
        self.list_bytes += found.bytes

    def drop_oldest(self) -> None:
        _, oldest = self.lists.popitem(last=False)
        self.list_bytes -= oldest.bytes


class Postings:
    """Reads the terms of the index's file through one connection. Errors of SQLite pass through."""

    def __init__(self, connection: sqlite3.Connection, max_bytes: int = MAX_BYTES) -> None:
        """Begin with empty memory; see ``MAX_BYTES`` for ``max_bytes``."""
        self._reader = PostingsReader(connection)
        self._max_bytes = max_bytes
        self._known: OrderedDict[int, _Collection] = OrderedDict()
        """The least recently searched first."""

    @property
    def bytes(self) -> int:
        """Memory that the passages and posting lists take; any thread may read it."""
        return sum(each.bytes for each in list(self._known.values()))

    def bytes_of(self, collection_id: int) -> int:
        """Return the memory of a collection's passages and posting lists; any thread may call it."""
        known = self._known.get(collection_id)
        return 0 if known is None else known.bytes

    def added(self, collection_id: int) -> None:
        """Call this after passages were added to a collection, with higher ids than those before."""
        known = self._known.get(collection_id)
        if known is not None:
            known.changed()
            known.added = True

    def removed(self, collection_id: int, passage_ids: Sequence[int]) -> None:
        """Call this after passages were removed from a collection."""
        known = self._known.get(collection_id)
        if known is not None:
            known.changed()
            known.removed += passage_ids
            if len(known.removed) > _MAX_REMOVED:
                del self._known[collection_id]

    def drop(self, collection_id: int) -> None:
        """Forget a collection; call this in the transaction that drops its tables."""
        self._reader.drop(collection_id)
        self._known.pop(collection_id, None)

    def rank(
        self,
        collection_id: int,
        terms: Sequence[QueryTerm],
        passages: int,
        limit: int,
        out_of_time: Callable[[], bool],
        kept: Kept | None = None,
    ) -> list[tuple[int, float]] | None:
        """Return the passages that have any of the terms: the best first, ties by passage id.

        Args:
            collection_id: of a collection that is in the file.
            terms: distinct, at least one.
            passages: number of passages in the collection.
            limit: maximum number of passages to return.
            out_of_time: whether to stop.
            kept: tells for ascending passage ids which of them may be returned; None for all.

        Returns:
            (passage id, BM25 score), or None if the collection is too large for the memory.

        Raises:
            DeadlineExceeded: if ``out_of_time`` returns true.
            CacheUnusable: if the file contradicts itself.
        """
        known = self._current(collection_id, passages)
        if known is None:
            return None
        names = _names(terms)
        return _ranked(known, names, self._lists(collection_id, known, names, out_of_time), limit, kept)

    def rank_in_memory(
        self, collection_id: int, terms: Sequence[QueryTerm], limit: int, most: int, kept: Kept | None = None
    ) -> list[tuple[int, float]] | None:
        """Return what ``rank`` does, or None if it needs the file or scores more than ``most`` postings.

        It also returns None for a collection of more than ten times as many passages: each has a place in an array.
        """
        known = self._known.get(collection_id)
        if known is None or known.added or known.removed or len(known.ids) > _PLACES_PER_POSTING * most:
            return None
        names = _names(terms)
        lists = [known.lists[name] for name in names if name in known.lists]
        if len(lists) < len(names) or sum(len(each.rows) for each in lists) > most:
            return None
        self._known.move_to_end(collection_id)
        for name in names:
            known.lists.move_to_end(name)
        return _ranked(known, names, lists, limit, kept)

    def _current(self, collection_id: int, passages: int) -> _Collection | None:
        """Return a collection after reading its new passages; None if it is too large for the memory."""
        known = self._known.get(collection_id)
        if passages * (np.dtype(np.int64).itemsize + np.dtype(np.int32).itemsize) > _PASSAGES_SHARE * self._max_bytes:
            self._known.pop(collection_id, None)
            return None
        if known is None:
            known = self._known[collection_id] = _Collection()
        self._known.move_to_end(collection_id)
        stale = known.removed or known.added
        if known.removed:
            stay = ~np.isin(known.ids, np.array(known.removed, np.int64))
            known.ids, known.lengths, known.removed = known.ids[stay], known.lengths[stay], []
        if known.added:
            last = int(known.ids[-1]) if len(known.ids) else -1
            ids, lengths = self._reader.passages_after(collection_id, last)
            known.ids = np.concatenate([known.ids, ids])
            known.lengths = np.concatenate([known.lengths, lengths])
            known.added = False
        if stale:
            known.average_length = bm25.average_length(known.lengths)
        if len(known.ids) != passages:
            raise CacheUnusable(f"it has the lengths of {len(known.ids)} passages, not of {passages}")
        return known

    def _lists(
        self, collection_id: int, known: _Collection, names: Sequence[_Name], out_of_time: Callable[[], bool]
    ) -> list[_PostingList]:
        """Return the posting lists of terms, from the memory or the file."""
        missing = [name for name in names if name not in known.lists]
        read = self._read(collection_id, known, missing) if missing else {}
        if missing and out_of_time():
            raise DeadlineExceeded(TOO_LATE)
        found = [read[name] if name in read else known.lists[name] for name in names]
        for name in names:
            if name in read:
                known.keep(name, read[name])
            else:
                known.lists.move_to_end(name)
        if read:
            self._forget()
        return found

    def _read(self, collection_id: int, known: _Collection, names: Sequence[_Name]) -> dict[_Name, _PostingList]:
        """Read posting lists from the file."""
        signed = self._reader.occurrences(collection_id, list(dict.fromkeys(term for term, _ in names)))
        lists = {}
        for term, column in names:
            ids = signed[term]
            lists[term, column] = _posting_list(known.ids, ids[ids > 0] if column == "exact" else -ids[ids < 0])
        return lists

    def _forget(self) -> None:
        """Drop what was used least recently, until the rest fits the limit; the last collection keeps its passages."""
        while self.bytes > self._max_bytes:
            if len(self._known) > 1:
                self._known.popitem(last=False)
                continue
            (last,) = self._known.values()
            if not last.lists:
                return
            last.drop_oldest()


def _names(terms: Sequence[QueryTerm]) -> list[_Name]:
    """Return the names of the posting lists of terms, in the order in which FTS5 adds up their scores."""
    names: list[_Name] = [(term.exact, "exact") for term in terms]
    names += [(stem, "stem") for stem in dict.fromkeys(term.stem for term in terms) if stem]
    return names


def _ranked(
    known: _Collection, names: Sequence[_Name], lists: Sequence[_PostingList], limit: int, kept: Kept | None
) -> list[tuple[int, float]]:
    """Return the passages in the posting lists; see ``Postings.rank``."""
    parts = [
        (each.rows, each.counts, _WEIGHTS[column])
        for each, (_, column) in zip(lists, names, strict=True)
        if len(each.rows)
    ]
    if not parts:
        return []
    scores = bm25.scores(parts, known.lengths, known.average_length)
    rows = scores.nonzero()[0]
    if kept is not None:
        rows = rows[kept(known.ids[rows].view(np.uint64))]
    rows = rows[bm25.best(scores[rows], limit)]
    return list(zip(known.ids[rows].tolist(), scores[rows].tolist(), strict=True))


def _posting_list(known: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> _PostingList:
    """Return the posting list of a term that occurs in these passages, each named once for each occurrence.

    Raises:
        CacheUnusable: if one of them is not known.
    """
    ids, counts = np.unique(ids, return_counts=True)
    rows = np.searchsorted(known, ids)
    if len(ids) and (rows[-1] == len(known) or not np.array_equal(known[rows], ids)):
        raise CacheUnusable("a term in it names a passage that is not there")
    return _PostingList(rows.astype(np.int32), counts.astype(np.min_scalar_type(counts.max(initial=0))))
