"""Looks up vectors in the index: those of one embedder call, and cached ones that come together, in one batch."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from tandem_gateway.errors import GatewayError
from tandem_gateway.index.state import Answer, VectorQuery
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.records.search import Hits, RankedPassage
from tandem_gateway.use_cases.waiting_query import Query, fail, fail_all


class Searchable(Protocol):
    """Answers queries whose vectors are known; the index thread implements it."""

    def search(self, queries: Sequence[VectorQuery]) -> "asyncio.Future[list[Answer]]":
        """Return for each query its hits or passages, or the error of that query alone."""
        ...

    def fingerprint(self, collection: str) -> str | None:
        """Return the fingerprint that a collection is pinned to; None if it has none or does not exist."""
        ...

    def splits(self, collection: str) -> bool:
        """Return whether a collection's texts are split into passages; true if it is not known."""
        ...

    def language(self, collection: str) -> str:
        """Return the language of a collection; the default if it is not known."""
        ...


class DenseAnswer(msgspec.Struct, frozen=True):
    """The hits of a vector search, and how much of the query its vector represents."""

    hits: Hits
    coverage: Coverage = WHOLE


class DenseCandidates(msgspec.Struct, frozen=True):
    """The passages nearest to a query, by descending similarity, and how much of the query its vector represents."""

    passages: list[RankedPassage]
    coverage: Coverage = WHOLE


class VectorSearch(Query, eq=False, kw_only=True):
    """A search that waits for its vector, and then for the passages nearest to it."""

    collection: str
    count: int
    """Maximum number of passages or hits."""
    hydrated: bool
    """Whether the answer has documents: a ``DenseAnswer``, not ``DenseCandidates``."""
    among: Keys | None = None
    """The passages that may be in the answer, ascending; None for all."""
    at_least: int | None = None
    """See ``ports.position.required``."""


class VectorLookup:
    """Answers searches whose vectors are known; one event loop owns it."""

    def __init__(self, index: Searchable) -> None:
        """Look up in this index."""
        self._index = index
        self._known: list[tuple[VectorSearch, QueryVector]] = []
        self._looking_up: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Number of searches of ``submit`` that wait for the index."""
        return len(self._known)

    async def drain(self) -> None:
        """Wait until all searches of ``submit`` have ended."""
        while self._looking_up is not None:
            await asyncio.wait([self._looking_up])

    def submit(self, search: VectorSearch, vector: QueryVector) -> None:
        """Look up a search whose vector is known, together with those that arrive now."""
        self._known.append((search, vector))
        if self._looking_up is None:
            # The task starts in the next iteration of the event loop, so queries that arrive in this one join it.
            self._looking_up = asyncio.get_running_loop().create_task(self._look_up())

    async def retrieve(self, searches: Sequence[VectorSearch], vectors: Sequence[QueryVector]) -> None:
        """Look up searches whose vectors are known, and set their outcomes."""
        started = time.monotonic()
        try:
            answers = await self._index.search(
                [
                    VectorQuery(
                        search.collection,
                        found.vector,
                        found.fingerprint,
                        search.count,
                        search.hydrated,
                        search.among,
                        search.at_least,
                    )
                    for search, found in zip(searches, vectors, strict=True)
                ]
            )
        except BaseException as error:  # every waiting search needs an outcome, whatever the error
            for search in searches:
                if search.stages is not None:
                    search.stages.failed("index", started, time.monotonic(), error)
            fail_all(searches, error)
            return
        for search, found, answer in zip(searches, vectors, answers, strict=True):
            if search.caller is not None and search.text and found.tokens:  # the vector of no text was not embedded
                search.caller.spent(found.tokens)
            if search.stages is not None:
                failure = answer if isinstance(answer, GatewayError) else None
                search.stages.add("index", started, time.monotonic(), error=failure)
            if isinstance(answer, GatewayError):
                fail(search, answer)
            elif search.answer is not None and not search.answer.done():
                coverage = found.coverage
                search.answer.set_result(
                    DenseAnswer(answer, coverage) if isinstance(answer, Hits) else DenseCandidates(answer, coverage)
                )

    async def _look_up(self) -> None:
        try:
            while self._known:
                batch, self._known = self._known, []
                searches, vectors = zip(*batch, strict=True)
                await self.retrieve(searches, vectors)
        finally:
            self._looking_up = None
