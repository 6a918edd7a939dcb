"""Chooses how to answer a search: by vector search, by keyword search, or by both.

``hybrid`` needs both. ``auto`` is ``hybrid`` that degrades: if one of the two cannot answer, the other answers alone.

``auto`` gives the embedder most of the search's time. It goes without vector search if the embedder cannot be reached,
is not ready, sends an invalid reply or does not answer in time. It does not if the embedder answers with an error: its
queue is full, it refuses the query, or its model is another. Such an error is for the caller or the operator to handle.

If the model does not know most of a query's tokens, the query's vector says nothing: all such texts have nearly the
same vector. ``auto`` and ``hybrid`` answer such a query by keyword search. They return the vector's hits instead if
keyword search finds no document and the model knows at least a part of the query.

A query's phrases and exclusions hold for every hit of ``hybrid`` and ``auto``; see ``analysis.query_syntax``. Only the
keyword index knows which documents they leave out: without it, such a query has no answer. The model gets the query
without its signs and excluded words. In the mode ``dense`` the query is text for the model alone.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from tandem_gateway.analysis.query_syntax import ParsedQuery, has_signs, parse
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderUnavailable,
    GatewayError,
)
from tandem_gateway.ports.position import StorePosition
from tandem_gateway.ports.search import LexicalIndex
from tandem_gateway.records.explanation import Stages
from tandem_gateway.records.search import AnsweredBy
from tandem_gateway.use_cases.best_passage import choose_passages
from tandem_gateway.use_cases.circuit_breaker import Breaker, failed, may_ask, trying
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.deadlines import late_search
from tandem_gateway.use_cases.dense_search import DenseSearch
from tandem_gateway.use_cases.freshness import in_fresh_state
from tandem_gateway.use_cases.highlighting import Highlighter
from tandem_gateway.use_cases.hybrid_search import KEYWORD_ERRORS, HybridSearch
from tandem_gateway.use_cases.result_pages import Answer
from tandem_gateway.use_cases.search_spans import traced_search
from tandem_gateway.use_cases.validation import RequestLimits, check_search
from tandem_runtime.trace import current_span

# A timeout counts against the embedder only if the search waited at least this many seconds.
_PATIENT_SECONDS = 1.0
_CLOSED = Breaker()
_RESERVED_SHARE = 0.2
_MAX_RESERVED = 1.0
# A thread parses longer queries: a batch has 64, each with up to 3,000 signs.
_PARSED_AT_ONCE_CHARS = 256


def dense_seconds(seconds: float) -> float:
    """Return how many of a search's ``seconds`` it waits for the embedder: all but 20 %, or all but 1 s if less."""
    return seconds - min(seconds * _RESERVED_SHARE, _MAX_RESERVED)


@dataclass(frozen=True, slots=True)
class SearchPipelineEvents:
    """Callbacks for metrics."""

    answered: Callable[[AnsweredBy], None] = lambda mode: None
    degraded: Callable[[], None] = lambda: None
    truncated: Callable[[], None] = lambda: None
    """A query was longer than the model reads."""
    unreadable: Callable[[], None] = lambda: None
    """The model does not know most tokens of a query."""


class SearchPipeline:
    """Answers searches of every mode."""

    def __init__(
        self,
        search: DenseSearch,
        lexical: LexicalIndex,
        hybrid: HybridSearch,
        *,
        request_limits: RequestLimits,
        timeout: float,
        position: StorePosition | None = None,
        events: SearchPipelineEvents | None = None,
    ) -> None:
        """Make the use case.

        Args:
            search: vector search.
            lexical: keyword search.
            hybrid: both, fused.
            request_limits: limits of a request.
            timeout: maximum seconds per search.
            position: knows the store's position; None to ask the store before each search.
            events: see ``SearchPipelineEvents``.
        """
        self._position = position
        self._search = search
        self._lexical = lexical
        self._hybrid = hybrid
        self._request_limits = request_limits
        self._timeout = timeout
        self._events = events or SearchPipelineEvents()
        self._breaker = _CLOSED
        self._embedder_ready = True
        self._parsing = asyncio.Lock()
        self._highlighter = Highlighter()

    def embedder_is(self, ready: bool) -> None:
        """Record the result of the last readiness probe."""
        self._embedder_ready = ready

    def check(self, command: SearchCommand) -> None:
        """Check a search.

        Raises:
            InvalidRequest: a field is not valid; the error names the field and the limit.
        """
        check_search(command, self._request_limits)

    async def answer(self, command: SearchCommand, timeout: float | None = None) -> Answer:
        """Return the answer to a search.

        Args:
            command: the search; this method validates it.
            timeout: seconds that the caller will wait. The configured timeout applies if it is shorter.

        Raises:
            InvalidRequest, NotFound: the client must change the request.
            Overloaded, EmbedderError, FingerprintMismatch, StorageError: the search cannot be answered now.
            NotReady: the keyword index is being built.
            DeadlineExceeded: the search was not answered in time.
        """
        span = current_span()
        if span is not None:
            return await traced_search(span, command, partial(self._checked_answer, command, timeout))
        return await self._checked_answer(command, timeout)

    async def _checked_answer(self, command: SearchCommand, timeout: float | None) -> Answer:
        self.check(command)
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        try:
            return await in_fresh_state(self._position, command, seconds, partial(self._answer, command))
        except DeadlineExceeded as error:
            raise late_search(seconds, error) from error

    async def _answer(self, command: SearchCommand, seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        asked = await self._parsed(command.query) if command.mode != "dense" else None
        if asked is not None and asked.meaning != command.query:
            command = msgspec.structs.replace(command, meaning=asked.meaning, constrained=asked.constrained)
        answer = await self._find(command, asked, seconds)
        if not self._search.splits(command.collection):
            answer = msgspec.structs.replace(answer, passages=False)
        elif "passage" in answer.fields:
            await choose_passages(answer.hits, command.text_for_model, self._search.language(command.collection))
        if command.highlight:
            wanted = asked or ParsedQuery(command.query, command.query)
            await self._highlighter.highlight(
                answer.hits, wanted, self._search.language(command.collection), deadline, passages=answer.passages
            )
        self._events.answered(answer.mode)
        if answer.degraded:
            self._events.degraded()
        if answer.coverage.truncated:
            self._events.truncated()
        if answer.coverage.unreadable:
            self._events.unreadable()
        return answer

    async def _find(self, command: SearchCommand, asked: ParsedQuery | None, seconds: float) -> Answer:
        """Return the answer in the search's mode; ``asked`` is None in the mode ``dense``."""
        if asked is not None and asked.only_exclusions:
            return msgspec.structs.replace(await self._by_keywords(command, seconds), only_exclusions=True)
        if command.mode == "dense" and command.is_plain:
            dense = await self._search.search(command, seconds, Stages.begin())
            return Answer(dense.hits, "dense", coverage=dense.coverage)
        if command.mode == "dense":
            return await self._hybrid.dense(command, seconds)
        if command.mode == "lexical":
            return await self._by_keywords(command, seconds)
        if command.mode == "hybrid":
            return await self._hybrid.search(command, seconds, seconds, degrades=False)
        return await self._answer_auto(command, seconds)

    async def _answer_auto(self, command: SearchCommand, seconds: float) -> Answer:
        started = time.monotonic()
        cause: GatewayError = EmbedderUnavailable("no embedder has answered lately")
        # While the breaker is closed, the check of the vector cache is not needed.
        needed = self._breaker is _CLOSED or self._search.needs_embedder(command)
        if not needed or may_ask(self._breaker, started, ready=self._embedder_ready):
            trial = needed and self._breaker.try_at is not None
            if trial:
                self._breaker = trying(self._breaker, started)
            patience = dense_seconds(seconds)
            answered = False

            def on_vectors() -> None:
                nonlocal answered
                answered = True
                if needed:
                    self._breaker = _CLOSED

            try:
                return await self._hybrid.search(command, seconds, patience, degrades=True, on_vectors=on_vectors)
            except (EmbedderUnavailable, EmbedderBroken, DeadlineExceeded) as error:
                if answered:
                    raise
                cause = error
                if not isinstance(error, DeadlineExceeded) or patience >= _PATIENT_SECONDS:
                    self._breaker = failed(self._breaker, time.monotonic(), trial=trial)
        if command.min_score is not None:
            raise cause  # keyword search has no cosine to compare with it
        try:
            remaining = seconds - (time.monotonic() - started)
            answer = await self._by_keywords(command, remaining)
            return msgspec.structs.replace(answer, degraded=True)
        except KEYWORD_ERRORS as error:
            raise cause from error
        finally:
            del cause  # breaks the reference cycle: error, traceback, this frame, error

    async def _by_keywords(self, command: SearchCommand, seconds: float) -> Answer:
        if not command.is_plain:
            return await self._hybrid.lexical(command, seconds)
        started, stages = time.monotonic(), Stages.begin()
        hits = await self._lexical.search(command.collection, command.query, command.top_k, timeout=seconds)
        if stages is not None:
            stages.add("words", started, time.monotonic())
        return Answer(hits, "lexical")

    async def _parsed(self, query: str) -> ParsedQuery:
        if len(query) <= _PARSED_AT_ONCE_CHARS or not has_signs(query):
            return parse(query)
        async with self._parsing:  # several threads would compete with the event loop for the interpreter's lock
            return await asyncio.to_thread(parse, query)
