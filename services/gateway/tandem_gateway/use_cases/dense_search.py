"""Vector search: the embedder turns a query into a vector, and the index finds the documents nearest to it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from tandem_gateway.errors import DeadlineExceeded, FingerprintMismatch
from tandem_gateway.ports import position
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.records.explanation import Stages
from tandem_gateway.use_cases import caller
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.query_embedder import QueryEmbedder
from tandem_gateway.use_cases.validation import RequestLimits, check_search
from tandem_gateway.use_cases.vector_lookup import DenseAnswer, DenseCandidates, Searchable, VectorLookup, VectorSearch
from tandem_gateway.use_cases.waiting_query import Deliver, fail
from tandem_runtime import logs, trace


@dataclass(frozen=True, slots=True)
class DenseSearchEvents:
    """Callbacks for metrics."""

    mismatched: Callable[[], None] = lambda: None
    """The vector of a query is of another model than the collection's."""


class DenseSearch:
    """Answers vector searches, and looks up together those whose vectors come together; one event loop owns it."""

    def __init__(
        self,
        embedder: QueryEmbedder,
        index: Searchable,
        *,
        request_limits: RequestLimits,
        timeout: float,
        events: DenseSearchEvents | None = None,
    ) -> None:
        """Make the use case.

        Args:
            embedder: turns queries into vectors; bounds the waiting queries.
            index: finds the nearest documents.
            request_limits: limits of a request.
            timeout: maximum seconds per search.
            events: see ``DenseSearchEvents``.
        """
        self._embedder = embedder
        self._index = index
        self._request_limits = request_limits
        self._timeout = timeout
        self._events = events or DenseSearchEvents()
        self._lookup = VectorLookup(index)
        self._deliver: Deliver = self._lookup.retrieve

    @property
    def queued(self) -> int:
        """Number of queries that wait for an embedder call or for the index."""
        return self._embedder.queued + self._lookup.queued

    async def search(
        self, command: SearchCommand, timeout: float | None = None, stages: Stages | None = None
    ) -> DenseAnswer:
        """Return the hits of a search, by descending cosine similarity.

        Args:
            command: the search; this method validates it.
            timeout: seconds that the caller will wait. The configured timeout applies if it is shorter.
            stages: gets the time of each stage; None for a search that is not traced.

        Raises:
            InvalidRequest, NotFound: the client must change the request.
            Overloaded, EmbedderError, FingerprintMismatch, StorageError: the search cannot be answered now.
            DeadlineExceeded: the search was not answered in time.
        """
        check_search(command, self._request_limits)
        answer = await self._find(command, command.top_k, True, timeout, stages=stages)
        assert isinstance(answer, DenseAnswer)
        return answer

    async def retrieve(
        self,
        command: SearchCommand,
        count: int,
        timeout: float | None = None,
        among: Keys | None = None,
        stages: Stages | None = None,
    ) -> DenseCandidates:
        """Return the ``count`` nearest passages of a valid search, without their documents.

        Args:
            command: the search.
            count: maximum number of passages.
            timeout: as in ``search``.
            among: the passages that may be in the answer, ascending; None for all.
            stages: gets the time of each stage; None for a search that is neither explained nor traced.

        Raises:
            As ``search``, but for the errors that concern documents.
        """
        answer = await self._find(command, count, False, timeout, among, stages)
        assert isinstance(answer, DenseCandidates)
        return answer

    async def nearest(
        self,
        collection: str,
        vector: QueryVector,
        count: int,
        timeout: float | None = None,
        among: Keys | None = None,
    ) -> DenseCandidates:
        """Return the ``count`` passages nearest to a vector, as ``retrieve`` does for a query; calls no embedder."""
        self._embedder.check_room(others=self._lookup.queued)
        search = self._search(collection, "", vector.fingerprint, count, among)
        answer = await self._answered(search, vector, timeout)
        assert isinstance(answer, DenseCandidates)
        return answer

    async def _find(
        self,
        command: SearchCommand,
        count: int,
        hydrated: bool,
        timeout: float | None,
        among: Keys | None = None,
        stages: Stages | None = None,
    ) -> DenseAnswer | DenseCandidates:
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        until = time.monotonic() + seconds
        wanted = self._index.fingerprint(command.collection)
        try:
            return await self._find_with(wanted, command, count, hydrated, seconds, among, stages)
        except FingerprintMismatch:
            now = self._index.fingerprint(command.collection)
            if now == wanted:
                self._events.mismatched()
                raise
        # The collection has switched to another model since: the search starts again, once.
        left = max(0.0, until - time.monotonic())
        try:
            return await self._find_with(now, command, count, hydrated, left, among, stages)
        except FingerprintMismatch:
            self._events.mismatched()
            raise

    async def _find_with(
        self,
        wanted: str | None,
        command: SearchCommand,
        count: int,
        hydrated: bool,
        seconds: float,
        among: Keys | None,
        stages: Stages | None,
    ) -> DenseAnswer | DenseCandidates:
        """Answer a search whose query needs a vector by the model with the fingerprint ``wanted``."""
        self._embedder.check_room(others=self._lookup.queued)
        search = self._search(
            command.collection, command.text_for_model, wanted, count, among, hydrated=hydrated, stages=stages
        )
        return await self._answered(search, self._embedder.cached(wanted, command.text_for_model), seconds)

    def _search(
        self,
        collection: str,
        text: str,
        wanted: str | None,
        count: int,
        among: Keys | None,
        *,
        hydrated: bool = False,
        stages: Stages | None = None,
    ) -> VectorSearch:
        return VectorSearch(
            asyncio.get_running_loop().create_future(),
            text,
            wanted,
            self._deliver,
            logs.request_id.get(),
            trace.current.get(),
            stages,
            caller.current.get(),
            collection=collection,
            count=count,
            hydrated=hydrated,
            among=among,
            at_least=position.required.get(),
        )

    async def _answered(
        self, search: VectorSearch, known: QueryVector | None, timeout: float | None
    ) -> DenseAnswer | DenseCandidates:
        """Return the answer to a search, whose vector may be known."""
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[DenseAnswer | DenseCandidates] = search.answer  # type: ignore[assignment]
        waiting = None
        if known is None:
            waiting = self._embedder.submit(search, seconds)
        else:
            self._lookup.submit(search, known)
        # A plain timer, not asyncio.timeout: that cancels the task from outside, which costs more than is needed here.
        deadline = loop.call_later(seconds, _expire, search)
        try:
            return await answer
        except (DeadlineExceeded, asyncio.CancelledError):
            if waiting is not None:
                self._embedder.withdraw(waiting)
            raise
        finally:
            deadline.cancel()
            del answer  # breaks the reference cycle: error, traceback, this frame, error

    def splits(self, collection: str) -> bool:
        """Return whether a collection's texts are split into passages."""
        return self._index.splits(collection)

    def language(self, collection: str) -> str:
        """Return the language of a collection, by which its words have stems."""
        return self._index.language(collection)

    def needs_embedder(self, command: SearchCommand) -> bool:
        """Return whether the search needs an embedder call; false if the query's vector is in the cache."""
        return not self._embedder.has(self._index.fingerprint(command.collection), command.text_for_model)

    async def drain(self) -> None:
        """Wait until all calls and lookups have ended."""
        await self._embedder.drain()
        await self._lookup.drain()


def _expire(search: VectorSearch) -> None:
    fail(search, DeadlineExceeded("the vector search was not done in time"))
