"""Which way a search is answered: by meaning, by words, or by words because no embedder answers.

``auto`` tries the embedder for the greater part of the search's time, and falls back to the lexical index when none
answers: it cannot be reached, says that it is not ready, answers nonsense, or not in time. An embedder that is there
and says no (its queue is full, the query is refused, its model is another) is no reason to fall back: what it says is
for the caller, or for whoever runs it.

A query most of whose tokens the model does not know has a vector that says nothing: all such texts have nearly the
same. ``auto`` answers it by its words, and falls back to its vector if no document has them and it has a part that the
model does know.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tandem_contract.client_api import AnsweredBy, SearchRequest
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderUnavailable,
    GatewayError,
    NotReady,
    Overloaded,
    StorageUnavailable,
)
from tandem_gateway.ports.search import LexicalIndex
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.search import Hit
from tandem_gateway.use_cases.circuit_breaker import Breaker, failed, may_ask, trying
from tandem_gateway.use_cases.dense_search import DenseAnswer, DenseSearch
from tandem_gateway.use_cases.validation import RequestLimits, check_search

# A search that gave the embedder less time than this says nothing about whether it is there.
_PATIENT_SECONDS = 1.0
_CLOSED = Breaker()
# The lexical index cannot answer now.
_NO_WORDS = (NotReady, Overloaded, DeadlineExceeded, StorageUnavailable)
_RESERVED_SHARE = 0.2
_MOST_RESERVED = 1.0


def dense_seconds(seconds: float) -> float:
    """Return how long a search that may take ``seconds`` waits for the embedder: all but a fifth, or but a second."""
    return seconds - min(seconds * _RESERVED_SHARE, _MOST_RESERVED)


class Answer(msgspec.Struct, frozen=True):
    """Hits by descending score, which way they were found, and whether that was not the way wanted."""

    hits: list[Hit]
    mode: AnsweredBy
    degraded: bool = False
    coverage: Coverage = WHOLE
    """How much of the query the model took in; ``WHOLE`` if it was not asked."""


@dataclass(frozen=True, slots=True)
class SearchPipelineEvents:
    """What the use case reports, for metrics."""

    answered: Callable[[AnsweredBy], None] = lambda mode: None
    degraded: Callable[[], None] = lambda: None
    truncated: Callable[[], None] = lambda: None
    """A query that was longer than the model reads."""
    unreadable: Callable[[], None] = lambda: None
    """A query most of whose tokens the model does not know."""


class SearchPipeline:
    """Answers searches of every mode."""

    def __init__(
        self,
        search: DenseSearch,
        lexical: LexicalIndex,
        *,
        request_limits: RequestLimits,
        timeout: float,
        events: SearchPipelineEvents | None = None,
    ) -> None:
        """Make the use case.

        Args:
            search: by meaning.
            lexical: by words.
            request_limits: what a request may hold.
            timeout: seconds that a search may take.
            events: see ``SearchPipelineEvents``.
        """
        self._search = search
        self._lexical = lexical
        self._request_limits = request_limits
        self._timeout = timeout
        self._events = events or SearchPipelineEvents()
        self._breaker = _CLOSED
        self._embedder_ready = True

    def embedder_is(self, ready: bool) -> None:
        """Note what the last probe of the embedder said."""
        self._embedder_ready = ready

    async def answer(self, request: SearchRequest, timeout: float | None = None) -> Answer:
        """Return the answer to a search.

        Args:
            request: is checked here.
            timeout: seconds that the caller will wait; the setting, if that is less.

        Raises:
            InvalidRequest, NotFound: the request has to be changed.
            Overloaded, EmbedderError, FingerprintMismatch, StorageError: it cannot be answered now.
            NotReady: the lexical index is being built.
            DeadlineExceeded: it was not answered in time.
        """
        if request.mode == "dense":
            dense = await self._search.search(request, timeout)
            answer = Answer(dense.hits, "dense", coverage=dense.coverage)
        else:
            seconds = self._timeout if timeout is None else min(timeout, self._timeout)
            if request.mode == "lexical":
                answer = Answer(await self._by_words(request, seconds), "lexical")
            else:
                answer = await self._by_either(request, seconds)
        self._events.answered(answer.mode)
        if answer.degraded:
            self._events.degraded()
        if answer.coverage.truncated:
            self._events.truncated()
        if answer.coverage.unreadable:
            self._events.unreadable()
        return answer

    async def _by_either(self, request: SearchRequest, seconds: float) -> Answer:
        started = time.monotonic()
        cause: GatewayError = EmbedderUnavailable("no embedder has answered lately")
        # While all is well nothing is to be decided, and nothing to be noted.
        needed = self._breaker is _CLOSED or self._search.needs_embedder(request)
        if not needed or may_ask(self._breaker, started, ready=self._embedder_ready):
            trial = needed and self._breaker.try_at is not None
            if trial:
                self._breaker = trying(self._breaker, started)
            patience = dense_seconds(seconds)
            try:
                dense = await self._search.search(request, patience)
                if needed:
                    self._breaker = _CLOSED
                if dense.coverage.unreadable:
                    return await self._by_words_if_any(request, dense, seconds - (time.monotonic() - started))
                return Answer(dense.hits, "dense", coverage=dense.coverage)
            except (EmbedderUnavailable, EmbedderBroken, DeadlineExceeded) as error:
                cause = error
                if not isinstance(error, DeadlineExceeded) or patience >= _PATIENT_SECONDS:
                    self._breaker = failed(self._breaker, time.monotonic(), trial=trial)
        try:
            remaining = seconds - (time.monotonic() - started)
            return Answer(await self._by_words(request, remaining), "lexical", degraded=True)
        except _NO_WORDS as error:
            raise cause from error
        finally:
            del cause  # its traceback leads to this frame, which must not lead back to it

    async def _by_words_if_any(self, request: SearchRequest, dense: DenseAnswer, seconds: float) -> Answer:
        """Answer a query that the model can hardly read."""
        by_vector = Answer(dense.hits, "dense", coverage=dense.coverage)
        try:
            hits = await self._by_words(request, seconds)
        except _NO_WORDS:
            return by_vector
        # Of a query that is wholly unknown the vector is nearest to other texts that are: better none than those.
        if hits or dense.coverage.unknown == 1.0:
            return Answer(hits, "lexical", coverage=Coverage(unknown=dense.coverage.unknown))  # all words counted
        return by_vector

    async def _by_words(self, request: SearchRequest, seconds: float) -> list[Hit]:
        check_search(request, self._request_limits)
        return await self._lexical.search(request.collection, request.query, request.top_k, timeout=seconds)
