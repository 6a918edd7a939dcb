"""Searches the keyword index's file: which passages match a query, and with which score.

The searcher keeps in memory the postings and the counts of terms that searches have read. The writer of the tables
tells it of each change.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tandem_gateway.adapters.sqlite.lexical import literals, query
from tandem_gateway.adapters.sqlite.lexical.file import TOO_LATE, translated
from tandem_gateway.adapters.sqlite.lexical.frequencies import TermFrequencies
from tandem_gateway.adapters.sqlite.lexical.languages import Languages
from tandem_gateway.adapters.sqlite.lexical.literals import Constraint
from tandem_gateway.adapters.sqlite.lexical.postings import Kept, Postings
from tandem_gateway.analysis.query_syntax import ParsedQuery
from tandem_gateway.analysis.terms import QueryTerm
from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.records.arrays import Keys

_RANK = f"bm25(1.0, {query.STEM_WEIGHT})"
_PROGRESS_STEPS = 5000


class Matches(NamedTuple):
    """Passages that match a query."""

    rows: list[tuple[int, float]]
    """(passage id, BM25 score): the best first, ties by passage id."""
    weight: float
    """See ``query.weight``."""


class LexicalSearcher:
    """Searches the tables of an open file. Only the thread of its ``LexicalCache`` may use it."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, counts: Mapping[int, int], languages: Languages
    ) -> None:
        """Search through a connection.

        Args:
            connection: to the file.
            path: of the file, for errors.
            counts: collection → number of its passages in the file; the writer of the tables keeps it current.
            languages: of the collections' stems.
        """
        self._connection = connection
        self._path = path
        self._counts = counts
        self._languages = languages
        self._frequencies = TermFrequencies(connection)
        self._postings = Postings(connection)

    @property
    def bytes(self) -> int:
        """Estimated memory of what searches have read of all collections; any thread may read it."""
        return self._postings.bytes + self._frequencies.bytes

    def bytes_of(self, collection_id: int) -> int:
        """Return the estimated memory of what searches have read of a collection; any thread may call it."""
        return self._postings.bytes_of(collection_id) + self._frequencies.bytes_of(collection_id)

    def added(self, collection_id: int) -> None:
        """Note that a collection has new passages."""
        self._postings.added(collection_id)
        self._frequencies.changed(collection_id)

    def removed(self, collection_id: int, passage_ids: Sequence[int]) -> None:
        """Note that passages left a collection."""
        self._postings.removed(collection_id, passage_ids)
        self._frequencies.changed(collection_id)

    def forget(self, collection_id: int) -> None:
        """Forget a collection; call this in the transaction that drops or replaces its tables."""
        self._frequencies.drop(collection_id)
        self._postings.drop(collection_id)

    def constraint(self, collection_id: int, asked: ParsedQuery, out_of_time: Callable[[], bool]) -> Constraint:
        """Return which passages a query allows; raises as ``search``."""
        if collection_id not in self._counts or not asked.constrained:
            return Constraint()
        with self._reading(out_of_time) as connection:
            return literals.constraint(connection, collection_id, asked, out_of_time)

    def allowed(self, collection_id: int, asked: ParsedQuery, out_of_time: Callable[[], bool]) -> Keys:
        """Return all passages that a query allows, ascending, ``(n,) uint64``; raises as ``search``."""
        if collection_id not in self._counts:
            return np.empty(0, np.uint64)
        found = self.constraint(collection_id, asked, out_of_time)
        with self._reading(out_of_time) as connection:
            keys = literals.all_passages(connection, collection_id) if found.required is None else found.required
        return keys[found.kept(keys)]

    def search(
        self,
        collection_id: int,
        asked: ParsedQuery,
        limit: int,
        out_of_time: Callable[[], bool],
        kept: Kept | None = None,
    ) -> Matches:
        """Return at most ``limit`` passages that match a query.

        Args:
            collection_id: of the collection.
            asked: the query. A passage without its phrases, or with an excluded word, may match; see ``constraint``.
            limit: maximum number of passages.
            out_of_time: whether to stop.
            kept: tells for passage ids which of them may be returned, ``(n,) bool``; None for all.

        Raises:
            DeadlineExceeded: if ``out_of_time`` returns true.
            CacheUnusable: if the file is damaged.
            StorageUnavailable: if the file cannot be read.
        """
        if collection_id not in self._counts:
            return Matches([], 0.0)
        with self._reading(out_of_time):
            count = self._counts[collection_id]
            frequencies: list[tuple[query.Term, int]] = [
                *self._frequencies.of_query(collection_id, asked.words, count, self._languages.of(collection_id)),
                *literals.counts(self._connection, collection_id, (*asked.phrases, *asked.prefixes), out_of_time),
            ]
            terms = query.choose(frequencies, count, needed=asked.phrases[:1])
            weight = query.weight(frequencies, count)
            if not terms:
                return Matches([], weight)
            if out_of_time():
                raise DeadlineExceeded(TOO_LATE)
            words = _plain(terms)
            found = None
            if len(words) == len(terms):
                found = self._postings.rank(collection_id, words, count, limit, out_of_time, kept)
            if found is None:
                found = self._ranked(collection_id, terms, limit if kept is None else count)
                found = found if kept is None else _kept(found, kept)[:limit]
            return Matches(found, weight)

    def search_in_memory(
        self, collection_id: int, words: str, limit: int, most: int, kept: Kept | None = None
    ) -> Matches | None:
        """Return what ``search`` does for a query of plain words; None if it needs the file or may take long.

        Args:
            collection_id: of the collection.
            words: text of the query.
            limit: maximum number of passages.
            most: maximum number of postings to score, each about 0.1 microseconds.
            kept: as for ``search``.
        """
        count = self._counts.get(collection_id)
        frequencies = (
            self._frequencies.of_query_in_memory(collection_id, words, count, self._languages.of(collection_id))
            if count
            else None
        )
        if count is None or frequencies is None:
            return None
        terms = query.choose(frequencies, count)
        found = self._postings.rank_in_memory(collection_id, _plain(terms), limit, most, kept) if terms else []
        return None if found is None else Matches(found, query.weight(frequencies, count))

    def _ranked(self, collection_id: int, terms: Sequence[query.Term], limit: int) -> list[tuple[int, float]]:
        """Return passages that match any of the terms as FTS5 ranks them; see ``Matches``."""
        # rank is bm25(); smaller is better. All matches come in one row: sqlite3 gives away the lock of Python
        # for each row, and may wait milliseconds for it while the event loop is busy.
        (found,) = self._connection.execute(
            "SELECT group_concat(rowid || ' ' || printf('%!.17g', score)) FROM ("
            f"SELECT rowid, -rank AS score FROM words_{collection_id} WHERE words_{collection_id} MATCH ? "
            "AND rank MATCH ? ORDER BY rank, rowid LIMIT ?)",
            (query.expression(terms), _RANK, limit),
        ).fetchone()
        pairs = (pair.split(" ") for pair in found.split(",")) if found else ()
        return [(int(row), float(score)) for row, score in pairs]

    @contextmanager
    def _reading(self, out_of_time: Callable[[], bool]) -> Iterator[sqlite3.Connection]:
        """Let the body read until ``out_of_time`` returns true; translate its errors."""
        with translated(self._path):
            self._connection.set_progress_handler(out_of_time, _PROGRESS_STEPS)
            try:
                yield self._connection
            finally:
                self._connection.set_progress_handler(None, 0)


def _kept(found: list[tuple[int, float]], kept: Kept) -> list[tuple[int, float]]:
    """Return the passages that a search may return."""
    stay = kept(np.fromiter((passage_id for passage_id, _ in found), np.uint64, len(found)))
    return [each for each, stays in zip(found, stay.tolist(), strict=True) if stays]


def _plain(terms: Sequence[query.Term]) -> list[QueryTerm]:
    return [term for term in terms if isinstance(term, QueryTerm)]
