"""Keyword search."""

from typing import Protocol

from tandem_gateway.records.search import Hit


class LexicalIndex(Protocol):
    """Finds documents by their words, without an embedder; a cache that follows the store by itself."""

    async def search(self, collection: str, query: str, top_k: int, *, timeout: float) -> list[Hit]:
        """Return the documents that have words of the query, by descending BM25 score, with a lease on their memory.

        ``tandem_gateway.analysis`` says what a word is. Scores are positive, and comparable among the hits of one
        search only. Of hits with the same score the one that was stored first comes first. Besides the documents that
        have a vector it finds those that wait for their first; of a document whose newer version waits, the older, as
        dense search does. A query without a word has no hits.

        Args:
            collection: its name.
            query: what a person typed; nothing in it is syntax.
            top_k: hits at the most.
            timeout: seconds after which the search ends, whatever happens.

        Raises:
            NotFound: if there is no such collection.
            NotReady: while the index is being built.
            InvalidRequest: the documents found have more bytes than an answer may have.
            Overloaded: if as many searches as allowed wait already, or there is no memory left for the answer.
            DeadlineExceeded: the time is over.
            StorageUnavailable, StorageCorrupt: as those of ``DocumentStore``.
        """
        ...
