"""Vector retrieval: finds candidates in the indexes, ranks them by exact scores, and hydrates the nearest.

Only the passages that are returned are read from the store. Nothing here is thread-safe; ``index_thread`` lets one
thread in at a time.
"""

import time
from collections.abc import Callable, Sequence

from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import (
    GatewayError,
    InvalidRequest,
    Overloaded,
    StorageCorrupt,
    TooManyBytes,
)
from tandem_gateway.hydration import hits
from tandem_gateway.index.findable import Candidates
from tandem_gateway.index.indexes import Indexes
from tandem_gateway.index.passage_cache import PassageCache
from tandem_gateway.index.passage_vectors import PassageVectors
from tandem_gateway.index.scoring import ranked, ranked_documents, vector_of
from tandem_gateway.index.state import (
    Answer,
    DocumentVector,
    Found,
    Ranked,
    VectorQuery,
    no_document,
    waiting_document,
)
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.records.search import Hit, Hits, PassageView, RankedPassage

# Number of attempts before a search leaves out passages that were replaced during the search.
_MAX_REPEATS = 3
# If the passages found belong to too few documents, the search requests so many times as many.
_WIDEN = 4
# Size of the cache of recent passages. A cached one costs a tenth of one that is read and checksummed.
_PASSAGE_BYTES = 3 << 20


class VectorRetrieval:
    """Answers queries whose vectors are known; see the module."""

    def __init__(
        self, indexes: Indexes, feed: IndexFeed, limits: AnswerLimits, *, on_search: Callable[[float, int], None]
    ) -> None:
        """Search ``indexes``.

        Args:
            indexes: finds the candidates.
            feed: reads vectors and passages.
            limits: see ``AnswerLimits``.
            on_search: called with the duration in seconds and the number of queries of each batch.
        """
        self._indexes = indexes
        self._feed = feed
        self._limits = limits
        self._on_search = on_search
        self._passages = PassageCache(_PASSAGE_BYTES)
        self._vectors = PassageVectors(indexes, feed)

    def search(self, queries: Sequence[VectorQuery], found: Found | None = None) -> list[Answer]:
        """Answer queries. Each answer includes everything that was committed before the call.

        Args:
            queries: see ``VectorQuery``.
            found: the candidates that ``find_in_memory`` found; used if no index has changed since.
        """
        started = found.started if found is not None else time.monotonic()
        self._indexes.follow(needed(queries))
        results: list[Ranked] = []
        passages: dict[int, PassageView] = {}
        for _ in range(_MAX_REPEATS):
            if found is not None and found.version == self._indexes.version:
                candidates, found = found.candidates, None
            else:
                candidates = self._indexes.candidates(queries)
            results, complete = self._ranked(queries, candidates)
            wanted = _wanted(queries, results)
            try:
                passages = self._passages.get(wanted, self._feed, self._limits.bytes)
            except TooManyBytes:
                return self._answer_one_by_one(queries, started)
            if complete and len(passages) == len(wanted):
                break
            # A passage was replaced between the index search and the read. The store has its successor, but the writer
            # may not have announced the commit yet.
            self._indexes.unread()
            self._indexes.follow()
        return self._answers(queries, results, passages, started)

    def find_in_memory(self, queries: Sequence[VectorQuery], most: int) -> Found | None:
        """Return the candidates of queries, or None if the search needs the disk or takes long.

        Args:
            queries: see ``search``.
            most: maximum sum of the sizes of the indexes that the queries search.
        """
        started = time.monotonic()
        if sum(self._indexes.size(query.collection) for query in queries) > most:
            return None
        if not self._indexes.current(needed(queries)):
            return None
        return Found(self._indexes.candidates(queries), self._indexes.version, started)

    def answer_in_memory(self, queries: Sequence[VectorQuery], found: Found) -> list[Answer] | None:
        """Answer queries from the caches; return None if they lack a vector or passage of ``found``."""
        vectors, missing = self._vectors.known(_without_vectors(found.candidates))
        if missing:
            return None
        results = [each for each in self._rank_all(queries, found.candidates, vectors) if each is not None]
        if len(results) < len(queries):
            return None
        passages = self._passages.kept(_wanted(queries, results))
        return None if passages is None else self._answers(queries, results, passages, found.started)

    def hydrate(self, ranked: Sequence[RankedPassage], *, texts: bool = True, metadata: bool = True) -> Hits:
        """Return the hits of passages; see ``Hydrator.hydrate``."""
        wanted = [each.passage_id for each in ranked]
        try:
            passages = self._passages.get(wanted, self._feed, self._limits.bytes, texts=texts, metadata=metadata)
        except TooManyBytes:
            raise self._limits.too_large(len(ranked)) from None
        return self._limits.held(hits(ranked, passages), len(ranked))

    def vectors(self, collection: str, passage_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the vectors of passages; see ``Hydrator.vectors``."""
        return self._vectors.of_collection(collection, set(passage_ids))

    def with_vectors(self, collection: str, found: Hits) -> Hits:
        """Return hits with the vectors of their best passages; see ``Hydrator.with_vectors``."""
        best = {hit.best for hit in found if hit.best is not None}
        return self._limits.with_vectors(found, self._vectors.of_collection(collection, best))

    def collection(self, name: str, at_least: int | None = None) -> CollectionRecord:
        """Return the record of a collection; raises NotFound if there is none. See ``VectorQuery.at_least``."""
        self._indexes.follow(at_least)
        return self._indexes.collection(name)

    def document_vector(self, collection: str, doc_id: str, at_least: int | None = None) -> DocumentVector:
        """Return the vector of the first passage of a document's version that search finds.

        Raises:
            NotFound: there is no such collection or document.
            Conflict: the document has no such version yet.
            StorageCorrupt: the vector has another length than the collection's.
        """
        for _ in range(_MAX_REPEATS):
            record = self.collection(collection, at_least)
            first = self._feed.first_passage(record.collection_id, doc_id)
            if first is None:
                raise no_document(collection, doc_id)
            if first.live and record.fingerprint is not None and record.model is not None:
                vector = self._vectors.of_collection(collection, [first.passage_id]).get(first.passage_id)
                if vector is not None:
                    numbers = vector_of(first.passage_id, vector, record.dim)
                    return DocumentVector(first.passage_id, QueryVector(numbers, record.model, record.fingerprint))
                self._indexes.unread()  # the document was replaced meanwhile
        raise waiting_document(doc_id)

    def hydrate_in_memory(self, ranked: Sequence[RankedPassage], *, metadata: bool = True) -> Hits | None:
        """Return the hits of passages if all of them are in the cache, else None."""
        passages = self._passages.kept([each.passage_id for each in ranked], metadata=metadata)
        return None if passages is None else self._limits.held(hits(ranked, passages), len(ranked))

    def _ranked(
        self, queries: Sequence[VectorQuery], candidates: Sequence[Candidates | GatewayError]
    ) -> tuple[list[Ranked], bool]:
        """Rank the candidates of each query; return whether the store had all their vectors, too.

        If the passages of a query belong to too few documents, search for more passages.
        """
        results, complete = self._ranked_once(queries, candidates)
        widening = 1
        while short := [place for place, each in enumerate(results) if each is None]:
            widening *= _WIDEN
            again = [queries[place] for place in short]
            found, all_read = self._ranked_once(again, self._indexes.candidates(again, widening))
            complete = complete and all_read
            for place, each in zip(short, found, strict=True):
                results[place] = each
        return [each for each in results if each is not None], complete

    def _ranked_once(
        self, queries: Sequence[VectorQuery], candidates: Sequence[Candidates | GatewayError]
    ) -> tuple[list[Ranked | None], bool]:
        """As ``_ranked``, but with None for a query whose passages belong to too few documents."""
        vectors = self._vectors.read(self._by_space(queries, candidates))
        return self._rank_all(queries, candidates, vectors), len(vectors) == len(_without_vectors(candidates))

    def _by_space(
        self, queries: Sequence[VectorQuery], candidates: Sequence[Candidates | GatewayError]
    ) -> dict[int, set[int]]:
        """Return the candidates whose vectors have to be read, by the space in which their query found them."""
        found: dict[int, set[int]] = {}
        for query, each in zip(queries, candidates, strict=True):
            space_id = self._indexes.space(query.collection)
            if space_id is not None and not isinstance(each, GatewayError) and each.vectors is None:
                found.setdefault(space_id, set()).update(each.keys)
        return found

    def _rank_all(
        self,
        queries: Sequence[VectorQuery],
        candidates: Sequence[Candidates | GatewayError],
        vectors: dict[int, bytes],
    ) -> list[Ranked | None]:
        return [
            each if isinstance(each, GatewayError) else self._rank(query, each, vectors)
            for query, each in zip(queries, candidates, strict=True)
        ]

    def _rank(self, query: VectorQuery, candidates: Candidates, vectors: dict[int, bytes]) -> Ranked | None:
        """Return the documents nearest to a query; None if the candidates belong to too few."""
        firsts = self._indexes.firsts(query.collection)
        try:
            if firsts is None:
                return ranked(query.vector, candidates, vectors, query.top_k)
            documents = ranked_documents(query.vector, candidates, vectors, firsts, query.top_k)
        except StorageCorrupt as error:
            # It concerns the queries alone that have the damaged vector among their candidates.
            return error.with_traceback(None)
        # Fewer candidates than requested are all there are.
        return documents if len(documents) == query.top_k or len(candidates.keys) < candidates.requested else None

    def _answers(
        self,
        queries: Sequence[VectorQuery],
        results: Sequence[Ranked],
        passages: dict[int, PassageView],
        started: float,
    ) -> list[Answer]:
        """Hydrate the results of each query, and report the batch, which began at ``started``."""
        answers: list[Answer] = [
            self._held(hits(each, passages), query) if query.hydrated and not isinstance(each, GatewayError) else each
            for query, each in zip(queries, results, strict=True)
        ]
        self._on_search(time.monotonic() - started, len(queries))
        return answers

    def _answer_one_by_one(self, queries: Sequence[VectorQuery], started: float) -> list[Answer]:
        """Answer queries one at a time, because their documents together exceed the limit on bytes."""
        if len(queries) > 1:
            # Each query is searched for again: passages of the common search may have been replaced meanwhile.
            return [answer for query in queries for answer in self.search([query])]
        self._on_search(time.monotonic() - started, 1)
        return [self._limits.too_large(queries[0].top_k)]

    def _held(self, found: list[Hit], query: VectorQuery) -> Answer:
        """Return hits with a lease on their memory, or the error of this query."""
        try:
            return self._limits.held(found, query.top_k)
        except (InvalidRequest, Overloaded) as error:
            # The traceback refers to the hits and, through the frames before this one, to all answers of the batch and
            # so to the error. Their leases would wait for the garbage collector.
            return error.with_traceback(None)


def needed(queries: Sequence[VectorQuery]) -> int | None:
    """Return the position that the indexes must have for queries; None to ask the store for the last one."""
    positions = [query.at_least for query in queries]
    known = [each for each in positions if each is not None]
    return max(known) if known and len(known) == len(positions) else None


def _without_vectors(candidates: Sequence[Candidates | GatewayError]) -> set[int]:
    """Return the candidates whose vectors have to be read."""
    return {
        key for each in candidates if not isinstance(each, GatewayError) and each.vectors is None for key in each.keys
    }


def _wanted(queries: Sequence[VectorQuery], results: Sequence[Ranked]) -> set[int]:
    """Return the passages to hydrate."""
    return {
        passage.passage_id
        for query, each in zip(queries, results, strict=True)
        if query.hydrated and not isinstance(each, GatewayError)
        for passage in each
    }
