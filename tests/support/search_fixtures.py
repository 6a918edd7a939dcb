"""Search use cases over fakes: the embedding of queries, vector search, and the pipeline of both searches."""

import asyncio

import numpy as np

from tandem_gateway.errors import GatewayError
from tandem_gateway.filters.tree import Filter
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.search import Hit, KeywordCandidates, RankedPassage, SearchMode
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.dense_search import DenseSearch, DenseSearchEvents
from tandem_gateway.use_cases.hybrid_search import HybridSearch
from tandem_gateway.use_cases.query_embedder import QueryEmbedder, QueryEmbedderEvents
from tandem_gateway.use_cases.result_pages import Answer, ResultPages
from tandem_gateway.use_cases.search_pipeline import SearchPipeline, SearchPipelineEvents
from tandem_gateway.use_cases.validation import RequestLimits
from tests.support.fakes import FakeEmbedder, FakeSearchable

LIMITS = RequestLimits(documents=1, text_chars=1, metadata_bytes=1, query_chars=50, top_k=10)


def command(query: str, top_k: int = 1, collection: str = "default", mode: SearchMode = "auto") -> SearchCommand:
    return SearchCommand(query, top_k, collection, mode)


class SearchFixture:
    """``DenseSearch`` over fakes, and the events that it reported."""

    def __init__(
        self, *, batch: int = 8, calls: int = 1, max_queued: int = 100, timeout: float = 30.0, kept: int = 0
    ) -> None:
        self.embedder = FakeEmbedder()
        self.index = FakeSearchable()
        self.sizes: list[int] = []
        self.mismatches = 0
        self.queries = QueryEmbedder(
            self.embedder,
            coalescing=CoalescingLimits(batch, calls),
            max_queued=max_queued,
            cached_vectors=kept,
            events=QueryEmbedderEvents(called=self.sizes.append),
        )
        self.use_case = DenseSearch(
            self.queries,
            self.index,
            request_limits=LIMITS,
            timeout=timeout,
            events=DenseSearchEvents(mismatched=self._mismatch),
        )

    def _mismatch(self) -> None:
        self.mismatches += 1

    def ask(self, query: str, collection: str = "default", timeout: float | None = None) -> "asyncio.Task[list[Hit]]":
        async def hits() -> list[Hit]:
            return (await self.use_case.search(command(query, 1, collection), timeout)).hits

        return asyncio.create_task(hits())


class FakeLexical:
    """Implements ``LexicalIndex``: returns one hit per search, named after its collection, or raises the error set."""

    bytes = 0

    def bytes_of(self, collection_id: int) -> int:
        return 0

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.timeouts: list[float] = []
        self.error: GatewayError | None = None
        self.finds = True
        self.retrieved: list[tuple[str, str, int]] = []
        self.among: list[Keys | None] = []
        self.allows: list[Keys] = [np.array([2], np.uint64)]
        """The answers of ``allowed``, one after the other; the last one stays."""
        self.waits: asyncio.Event | None = None
        """Retrievals wait for it, if it is set."""

    async def search(self, collection: str, query: str, top_k: int, *, timeout: float) -> list[Hit]:
        self.asked.append((collection, query, top_k))
        self.timeouts.append(timeout)
        if self.error is not None:
            raise self.error
        return [Hit(f"word in {collection}", 2.5, "text", "{}")] if self.finds else []

    async def retrieve(
        self, collection: str, query: str, count: int, *, timeout: float, among: Keys | None = None
    ) -> KeywordCandidates:
        self.retrieved.append((collection, query, count))
        self.among.append(among)
        if self.waits is not None:
            await self.waits.wait()
        if self.error is not None:
            raise self.error
        return KeywordCandidates([RankedPassage(2, 2.5, lexical=2.5)] if self.finds else [], 2.5)

    async def allowed(self, collection: str, query: str, *, timeout: float) -> Keys:
        if self.error is not None:
            raise self.error
        return self.allows.pop(0) if len(self.allows) > 1 else self.allows[0]


class FakeFilters:
    """Answers each filter with the next of its answers, or raises ``error``."""

    bytes = 0

    def __init__(self) -> None:
        self.asked: list[tuple[str, Filter]] = []
        self.answers: list[Keys] = [np.array([1], np.uint64)]
        self.error: GatewayError | None = None

    async def matching(self, collection: str, condition: Filter, *, timeout: float) -> Keys:
        self.asked.append((collection, condition))
        if self.error is not None:
            raise self.error
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class PipelineFixture:
    """``SearchPipeline`` over fakes, and the events that it reported."""

    def __init__(self, *, timeout: float = 30.0, kept: int = 0) -> None:
        self.embedder, self.index, self.lexical = FakeEmbedder(), FakeSearchable(), FakeLexical()
        self.filters = FakeFilters()
        self.modes: list[str] = []
        self.degraded = 0
        self.truncated = 0
        self.unreadable = 0
        dense = DenseSearch(
            QueryEmbedder(self.embedder, coalescing=CoalescingLimits(8, 1), max_queued=100, cached_vectors=kept),
            self.index,
            request_limits=LIMITS,
            timeout=timeout,
        )
        self.use_case = SearchPipeline(
            dense,
            self.lexical,
            HybridSearch(dense, self.lexical, ResultPages(self.index, self.filters)),
            request_limits=LIMITS,
            timeout=timeout,
            events=SearchPipelineEvents(self.modes.append, self._degraded, self._truncated, self._unreadable),
        )

    def _degraded(self) -> None:
        self.degraded += 1

    def _truncated(self) -> None:
        self.truncated += 1

    def _unreadable(self) -> None:
        self.unreadable += 1

    async def ask(self, query: str = "q", mode: SearchMode = "auto", timeout: float | None = None) -> Answer:
        return await self.use_case.answer(command(query, 1, "books", mode), timeout)
