"""Counts how many documents have a query's terms, and caches the counts that cost the most."""

import json
import sqlite3
from collections.abc import Sequence

from tandem_gateway.adapters.sqlite.lexical import query
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.analysis.terms import QueryTerm, query_terms

_MAX_KNOWN = 10_000
# Limit of the frequencies of all collections that are kept until the collection changes.
_MAX_RECENT = 20_000
# After a change, keep only the frequencies of terms in at least this many documents: they cost the most to count, and a
# few more or fewer documents make no difference. They expire when the collection has grown by ``_GROWTH``.
_WORTH_KEEPING = 1000
_GROWTH = 0.1


class TermFrequencies:
    """Reads the terms of the index's file through one connection. Errors of SQLite pass through."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Begin with an empty cache."""
        self._connection = connection
        # Collection → number of its documents when the cache began, and term → number of documents.
        self._known: dict[int, tuple[int, dict[QueryTerm, int]]] = {}
        # Collection → term → number of documents, as of the last change of the collection.
        self._recent: dict[int, dict[QueryTerm, int]] = {}

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
        counted_at, known = self._known.get(collection_id, (0, {}))
        if documents > counted_at * (1 + _GROWTH) or len(known) > _MAX_KNOWN:
            known = {}
            self._known[collection_id] = (documents, known)
        terms = query_terms(words, query.MAX_WORDS, language)
        recent = self._recent.get(collection_id, {})
        unknown = [term for term in terms if term not in known and term not in recent]
        if unknown:
            if sum(map(len, self._recent.values())) > _MAX_RECENT:
                self._recent.clear()
                recent, unknown = {}, [term for term in terms if term not in known]
            self._recent[collection_id] = recent
            for term, frequency in zip(unknown, self._count(collection_id, unknown), strict=True):
                (known if frequency >= _WORTH_KEEPING else recent)[term] = frequency
        return [(term, known[term] if term in known else recent[term]) for term in terms]

    def of_query_in_memory(
        self, collection_id: int, words: str, documents: int, language: str = DEFAULT_LANGUAGE
    ) -> list[tuple[query.Term, int]] | None:
        """Return what ``of_query`` does, or None if it would read the file."""
        counted_at, known = self._known.get(collection_id, (0, {}))
        if documents > counted_at * (1 + _GROWTH) or len(known) > _MAX_KNOWN:
            return None
        recent = self._recent.get(collection_id, {})
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
        self._connection.execute(f"DROP TABLE IF EXISTS temp.terms_{collection_id}")
        self._known.pop(collection_id, None)
        self._recent.pop(collection_id, None)

    def _count(self, collection_id: int, terms: Sequence[QueryTerm]) -> list[int]:
        """Return how many documents have each term or its stem, with one row for all; see ``LexicalCache.search``."""
        self._connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms_{collection_id} "
            f"USING fts5vocab(main, words_{collection_id}, col)"
        )
        of_term = (
            f"SELECT doc FROM temp.terms_{collection_id} WHERE term = json_extract(asked.value, '$[%d]') AND col = '%s'"
        )
        exact, stem = (f"coalesce(({of_term % column}), 0)" for column in ((0, "exact"), (1, "stem")))
        given = json.dumps([(term.exact, term.stem) for term in terms])
        (counts,) = self._connection.execute(
            f"SELECT json_group_array(max({exact}, {stem})) FROM json_each(?) AS asked", (given,)
        ).fetchone()
        return [int(count) for count in json.loads(counts)]
