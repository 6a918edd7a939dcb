"""Counts how many documents have a query's terms, and caches the counts that cost the most.

The cache has a limit in bytes for all collections. Over it, the cache begins again: a search counts its terms anew.
"""

import json
import sqlite3
import sys
from collections.abc import Sequence
from typing import Final

from tandem_gateway.adapters.sqlite.lexical import query
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.analysis.terms import QueryTerm, query_terms

MAX_BYTES: Final = 16 << 20
"""Limit of the memory of the counts, for all collections."""
_MAX_KNOWN = 10_000
# Limit of the frequencies of all collections that are kept until the collection changes.
_MAX_RECENT = 20_000
# After a change, keep only the frequencies of terms in at least this many documents: they cost the most to count, and a
# few more or fewer documents make no difference. They expire when the collection has grown by ``_GROWTH``.
_WORTH_KEEPING = 1000
_GROWTH = 0.1
# Estimated memory of an entry without its two strings: the tuple, the number, and the place in a dictionary.
_ENTRY_BYTES: Final = 200


class _Counts:
    """Terms of a collection, each with the number of documents that have it."""

    def __init__(self, documents: int = 0) -> None:
        self.documents = documents
        """Number of documents in the collection when the counts began."""
        self.terms: dict[QueryTerm, int] = {}
        self.bytes = 0

    def keep(self, term: QueryTerm, frequency: int) -> None:
        self.terms[term] = frequency
        self.bytes += sys.getsizeof(term.exact) + sys.getsizeof(term.stem) + _ENTRY_BYTES


_NONE: Final = _Counts()


class TermFrequencies:
    """Reads the terms of the index's file through one connection. Errors of SQLite pass through."""

    def __init__(self, connection: sqlite3.Connection, max_bytes: int = MAX_BYTES) -> None:
        """Begin with an empty cache; see ``MAX_BYTES`` for ``max_bytes``."""
        self._connection = connection
        self._max_bytes = max_bytes
        # As ``Postings`` has them.
        self._tables: set[int] = set()
        # Collection → counts that outlast a change of the collection.
        self._known: dict[int, _Counts] = {}
        # Collection → counts as of the last change of the collection.
        self._recent: dict[int, _Counts] = {}

    @property
    def bytes(self) -> int:
        """Estimated memory of the counts of all collections; any thread may read it."""
        return sum(counts.bytes for kept in (self._known, self._recent) for counts in list(kept.values()))

    def bytes_of(self, collection_id: int) -> int:
        """Return the estimated memory of a collection's counts; any thread may call it."""
        return self._known.get(collection_id, _NONE).bytes + self._recent.get(collection_id, _NONE).bytes

    def of_query(
        self, collection_id: int, words: str, documents: int, language: str = DEFAULT_LANGUAGE
    ) -> list[tuple[QueryTerm, int]]:
        """Return the distinct terms of a query, each with the number of documents that have it or its stem.

        Args:
            collection_id: of a collection that is in the file.
            words: text of the query's plain words.
            documents: number of documents in the collection.
            language: of the stems in the file.
        """
        known = self._known.get(collection_id)
        if known is None or _is_outdated(known, documents):
            known = self._known[collection_id] = _Counts(documents)
        terms = query_terms(words, query.MAX_WORDS, language)
        recent = self._recent.get(collection_id) or _Counts()
        unknown = [term for term in terms if term not in known.terms and term not in recent.terms]
        if unknown:
            if sum(len(counts.terms) for counts in self._recent.values()) > _MAX_RECENT:
                self._recent.clear()
                recent, unknown = _Counts(), [term for term in terms if term not in known.terms]
            self._recent[collection_id] = recent
            for term, frequency in zip(unknown, self._count(collection_id, unknown), strict=True):
                (known if frequency >= _WORTH_KEEPING else recent).keep(term, frequency)
            if self.bytes > self._max_bytes:
                self._known.clear()
                self._recent.clear()
        return [(term, known.terms[term] if term in known.terms else recent.terms[term]) for term in terms]

    def of_query_in_memory(
        self, collection_id: int, words: str, documents: int, language: str = DEFAULT_LANGUAGE
    ) -> list[tuple[query.Term, int]] | None:
        """Return what ``of_query`` does, or None if it would read the file."""
        counts = self._known.get(collection_id)
        if counts is None or _is_outdated(counts, documents):
            return None
        known, recent = counts.terms, self._recent.get(collection_id, _NONE).terms
        found: list[tuple[query.Term, int]] = []
        for term in query_terms(words, query.MAX_WORDS, language):
            frequency = known.get(term, recent.get(term))
            if frequency is None:
                return None
            found.append((term, frequency))
        return found

    def changed(self, collection_id: int) -> None:
        """Forget what a change of a collection has changed."""
        self._recent.pop(collection_id, None)

    def drop(self, collection_id: int) -> None:
        """Forget a collection; call this in the transaction that drops its tables."""
        self._tables.discard(collection_id)
        self._connection.execute(f"DROP TABLE IF EXISTS temp.terms_{collection_id}")
        self._known.pop(collection_id, None)
        self._recent.pop(collection_id, None)

    def _count(self, collection_id: int, terms: Sequence[QueryTerm]) -> list[int]:
        """Return how many documents have each term or its stem. One row has all: see ``LexicalSearcher``."""
        if collection_id not in self._tables:
            self._connection.execute(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms_{collection_id} "
                f"USING fts5vocab(main, words_{collection_id}, col)"
            )
            self._tables.add(collection_id)
        of_term = (
            f"SELECT doc FROM temp.terms_{collection_id} WHERE term = json_extract(asked.value, '$[%d]') AND col = '%s'"
        )
        exact, stem = (f"coalesce(({of_term % column}), 0)" for column in ((0, "exact"), (1, "stem")))
        given = json.dumps([(term.exact, term.stem) for term in terms])
        (counts,) = self._connection.execute(
            f"SELECT json_group_array(max({exact}, {stem})) FROM json_each(?) AS asked", (given,)
        ).fetchone()
        return [int(count) for count in json.loads(counts)]


def _is_outdated(counts: _Counts, documents: int) -> bool:
    """Return whether counts that outlast changes must begin again, in a collection of so many documents."""
    return documents > counts.documents * (1 + _GROWTH) or len(counts.terms) > _MAX_KNOWN
