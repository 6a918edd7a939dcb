"""Counts how many documents have a query's terms, and caches the counts that cost the most."""

import json
import sqlite3
from collections.abc import Sequence

from tandem_gateway.adapters.sqlite.lexical import query
from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.analysis.terms import QueryTerm, query_terms

_MAX_KNOWN = 10_000
# Cache only the frequencies of terms in at least this many documents: they cost the most to count, and a few more or
# fewer documents make no difference. The cache expires when the collection has grown by ``_GROWTH``.
_WORTH_KEEPING = 1000
_GROWTH = 0.1


class TermFrequencies:
    """Reads the terms of the index's file through one connection. Errors of SQLite pass through."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Begin with an empty cache."""
        self._connection = connection
        # Collection → number of its documents when the cache began, and term → number of documents.
        self._known: dict[int, tuple[int, dict[QueryTerm, int]]] = {}

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
        self._connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms_{collection_id} "
            f"USING fts5vocab(main, words_{collection_id}, col)"
        )
        terms = query_terms(words, query.MAX_WORDS, language)
        unknown = [term for term in terms if term not in known]
        counted = dict(zip(unknown, self._count(collection_id, unknown), strict=True)) if unknown else {}
        known.update({term: frequency for term, frequency in counted.items() if frequency >= _WORTH_KEEPING})
        return [(term, counted[term] if term in counted else known[term]) for term in terms]

    def drop(self, collection_id: int) -> None:
        """Forget a collection; call this in the transaction that drops its tables."""
        self._connection.execute(f"DROP TABLE IF EXISTS temp.terms_{collection_id}")
        self._known.pop(collection_id, None)

    def _count(self, collection_id: int, terms: Sequence[QueryTerm]) -> list[int]:
        """Return how many documents have each term or its stem, with one row for all; see ``LexicalCache.search``."""
        of_term = (
            f"SELECT doc FROM temp.terms_{collection_id} WHERE term = json_extract(asked.value, '$[%d]') AND col = '%s'"
        )
        exact, stem = (f"coalesce(({of_term % column}), 0)" for column in ((0, "exact"), (1, "stem")))
        given = json.dumps([(term.exact, term.stem) for term in terms])
        (counts,) = self._connection.execute(
            f"SELECT json_group_array(max({exact}, {stem})) FROM json_each(?) AS asked", (given,)
        ).fetchone()
        return [int(count) for count in json.loads(counts)]
