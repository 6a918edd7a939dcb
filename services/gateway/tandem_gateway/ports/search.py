"""Ports of search: the keyword index, and the documents of passages that both indexes found."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.search import Hit, Hits, KeywordCandidates, RankedPassage


class LexicalIndex(Protocol):
    """Finds documents by their words, without an embedder.

    The index is a cache derived from the store. It follows the store by itself.
    """

    @property
    def bytes(self) -> int:
        """Estimated memory in bytes of what searches have read of the index; any thread may read it."""
        ...

    def bytes_of(self, collection_id: int) -> int:
        """Return the estimated memory of a collection in bytes, as part of ``bytes``; any thread may call it."""
        ...

    async def search(self, collection: str, query: str, top_k: int, *, timeout: float) -> list[Hit]:
        """Return the documents that contain words of the query, by descending BM25 score.

        The hits hold a lease on the memory that they take. ``tandem_gateway.analysis`` defines what a word is; a
        query without words has no hits. Scores are positive. They are comparable only within one search. Among hits
        with the same score, the document stored first comes first.

        Keyword search also finds new documents that still wait for their vector. If a newer version of a document
        waits, keyword search finds the older version, as vector search does.

        Args:
            collection: name of the collection.
            query: any text; ``tandem_gateway.analysis.query_syntax`` says what its signs mean.
            top_k: maximum number of hits.
            timeout: deadline of the search, in seconds.

        Raises:
            NotFound: the collection does not exist.
            NotReady: the index is being built.
            InvalidRequest: the documents found exceed the size limit of an answer.
            Overloaded: the search queue is full, or the memory for answers is used up.
            DeadlineExceeded: the search took longer than ``timeout``.
            StorageUnavailable, StorageCorrupt: the store cannot be read.
        """
        ...

    async def retrieve(
        self, collection: str, query: str, count: int, *, timeout: float, among: Keys | None = None
    ) -> KeywordCandidates:
        """Return the passages of the ``count`` documents that ``search`` would return, without reading them.

        With ``among``, passage ids in ascending order, it returns the best of these passages only.

        Raises:
            As ``search``, but for the errors that concern the memory of hits.
        """
        ...

    async def allowed(self, collection: str, query: str, *, timeout: float) -> Keys:
        """Return the passages that the query's phrases and exclusions do not leave out, ascending, ``(n,) uint64``.

        Passages whose document was deleted may be among them, and those of documents that wait for their vectors.

        Raises:
            As ``retrieve``.
        """
        ...


class Hydrator(Protocol):
    """Reads the documents of ranked passages."""

    async def hydrate(
        self, ranked: Sequence[RankedPassage], *, timeout: float, texts: bool = True, metadata: bool = True
    ) -> Hits:
        """Return the hits of passages, in their order; passages that no longer exist are left out.

        A passage ceases to exist when its document is deleted or replaced. A caller that misses a hit must therefore
        search again, to find the document's new version.

        Args:
            ranked: the passages.
            timeout: deadline in seconds.
            texts: false to leave out the texts, and with them the passages' places.
            metadata: false to leave out the metadata, which is then empty.

        Raises:
            InvalidRequest: the documents exceed the size limit of an answer.
            Overloaded: the memory for answers is used up.
            DeadlineExceeded: reading took longer than ``timeout``.
            NotReady, StorageUnavailable, StorageCorrupt: the store cannot be read.
        """
        ...

    async def vectors(self, collection: str, passage_ids: Sequence[int], *, timeout: float) -> Mapping[int, bytes]:
        """Return the vectors that serve, of passages of a collection, by id: float32, little-endian.

        Those that do not exist are missing.

        Ask for a bounded number: no lease counts their memory.

        Raises:
            DeadlineExceeded, NotReady, StorageUnavailable, StorageCorrupt: as in ``hydrate``.
        """
        ...

    async def with_vectors(self, collection: str, hits: Hits, *, timeout: float) -> Hits:
        """Return hits in a collection with the vectors of their best passages, which are chosen already.

        A passage that waits for its vector, or no longer exists, has None.

        Raises:
            As ``hydrate``, but for the size limit, which the encoded answer has.
        """
        ...
