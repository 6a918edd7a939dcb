"""Reranks the best documents of a search by their best passages, within the time that the search has left.

A search never fails because its reranking does: it answers in its own order and says so. After several failures in a
row, a circuit breaker spares the next searches the wait.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderError,
    EmbedderUnavailable,
    FingerprintMismatch,
    GatewayError,
    InvalidRequest,
    Overloaded,
    RerankerBroken,
    RerankerError,
    RerankerRejected,
    RerankerUnavailable,
    for_log,
)
from tandem_gateway.ports.reranker import Reranker
from tandem_gateway.ports.search import Hydrator
from tandem_gateway.records.explanation import SPANS, Stages
from tandem_gateway.records.search import Hit, RankedPassage
from tandem_gateway.use_cases import caller
from tandem_gateway.use_cases.best_passage import choose_passages
from tandem_gateway.use_cases.circuit_breaker import Breaker, failed, may_ask, trying
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.rerank_decisions import reordered, search_seconds
from tandem_gateway.use_cases.stored_vectors import StoredVectors
from tandem_runtime.tracing import within

log = logging.getLogger(__name__)

RerankOutcome = Literal["reranked", "late", "failed", "skipped"]
"""``late``: too little time was left, or the reranker took too long. ``failed``: it could not answer. ``skipped``: it
has failed several times in a row, and was not asked."""

# A timeout counts against the reranker only if the search waited at least this many seconds.
_PATIENT_SECONDS: Final = 1.0
_TOLERATED: Final = (RerankerError, EmbedderError, Overloaded, DeadlineExceeded, FingerprintMismatch)
_COUNTED: Final = (RerankerUnavailable, RerankerBroken, EmbedderUnavailable, EmbedderBroken)


@dataclass(frozen=True, slots=True)
class SearchRerankerEvents:
    """Callbacks for metrics."""

    ended: Callable[[RerankOutcome], None] = lambda outcome: None
    """A search that asked for a reranking was answered."""


class SearchReranker:
    """Reranks searches; one event loop owns it."""

    def __init__(
        self,
        reranker: Reranker,
        hydrator: Hydrator,
        *,
        timeout: float,
        language: Callable[[str], str] = lambda collection: DEFAULT_LANGUAGE,
        stored: StoredVectors | None = None,
        events: SearchRerankerEvents | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it.

        Args:
            reranker: scores the passages.
            hydrator: reads their documents.
            timeout: maximum seconds of a reranking.
            language: returns the language of a collection.
            stored: scores by stored vectors; None if the reranker must read the texts.
            events: see ``SearchRerankerEvents``.
            clock: monotonic clock, in seconds.
        """
        self._reranker = reranker
        self._hydrator = hydrator
        self._timeout = timeout
        self._language = language
        self._stored = stored
        self._events = events or SearchRerankerEvents()
        self._clock = clock
        self._breaker = Breaker()

    def begin(self, command: SearchCommand) -> "Reranking | None":
        """Return the reranking of a search; None if the search does not ask for one."""
        return None if command.rerank is None else Reranking(self, command)

    def ended(self, outcome: RerankOutcome) -> None:
        """Count a search that asked for a reranking."""
        self._events.ended(outcome)

    async def scores(
        self, command: SearchCommand, ranked: Sequence[RankedPassage], deadline: float
    ) -> tuple[RerankOutcome, dict[int, float], bool]:
        """Return the scores of passages, by first passage.

        Args:
            command: the search, which asks for a reranking.
            ranked: the passages.
            deadline: of the search; seconds of the clock.

        Returns:
            The outcome; the scores, which lack documents that no longer exist; whether the model read only the
            beginning of a passage.

        Raises:
            InvalidRequest: the reranker does not serve the model, or the texts exceed the size limit of an answer.
            NotReady, StorageError: the store cannot be read.
        """
        started = self._clock()
        seconds = search_seconds(deadline - started, self._timeout)
        if seconds is None:
            return "late", {}, False
        if not may_ask(self._breaker, started, ready=True):
            return "skipped", {}, False
        trial = self._breaker.try_at is not None
        if trial:
            self._breaker = trying(self._breaker, started)
        try:
            found = await self._ask(command, ranked, started + seconds)
            self._breaker = Breaker()
            return "reranked", *found
        except _TOLERATED as error:
            log.warning("a search was not reranked", extra={"error": for_log(error), "kind": type(error).__name__})
            late = isinstance(error, DeadlineExceeded)
            if isinstance(error, _COUNTED) or (late and seconds >= _PATIENT_SECONDS):
                self._breaker = failed(self._breaker, self._clock(), trial=trial)
            elif isinstance(error, RerankerRejected):
                self._breaker = Breaker()  # it answers
            return ("late" if late else "failed"), {}, False

    async def _ask(
        self, command: SearchCommand, ranked: Sequence[RankedPassage], until: float
    ) -> tuple[dict[int, float], bool]:
        assert command.rerank is not None
        try:
            hits = await self._hydrator.hydrate(ranked, timeout=until - self._clock())
        except InvalidRequest as error:
            raise _renamed(error, "rerank.top_n") from None
        if not hits:
            return {}, False
        await choose_passages(hits, command.text_for_model, self._language(command.collection))
        try:
            found = None if self._stored is None else await self._stored.scores(command, hits, until)
            counted = found is not None and command.mode != "lexical"  # the search has embedded the query itself
            if found is None:
                found = await self._reranker.rerank(
                    command.text_for_model,
                    [passage_text(hit) for hit in hits],
                    timeout=max(0.0, until - self._clock()),
                    model=command.rerank.model,
                )
            if not counted and found.tokens and (asking := caller.current.get()) is not None:
                asking.spent(found.tokens)
        except InvalidRequest as error:
            raise _renamed(error, f"rerank.{error.param}") from None
        scores = {hit.first: score for hit, score in zip(hits, found.scores, strict=True)}
        return scores, bool(found.truncated) or found.query_truncated


class Reranking:
    """The reranking of one search. A search that begins again asks for the scores that it does not have yet."""

    def __init__(self, reranker: SearchReranker, command: SearchCommand) -> None:
        assert command.rerank is not None
        self._reranker = reranker
        self._command = command
        self._top_n = command.rerank.top_n
        self._known: dict[int, float] = {}
        self._scores: dict[int, float] = {}
        self.outcome: RerankOutcome = "reranked"
        self.truncated = False
        """Whether the model read only the beginning of a passage, or of the query."""
        self.candidates = 0
        """Number of documents that were to be reranked."""

    async def score(self, ranked: Sequence[RankedPassage], deadline: float, stages: Stages | None) -> None:
        """Get the scores of a ranking's first documents; raises as ``SearchReranker.scores``.

        Args:
            ranked: the ranking.
            deadline: of the search; seconds of the monotonic clock.
            stages: gets the time; None for a search that is neither explained nor traced.
        """
        first = ranked[: self._top_n]
        self.candidates = len(first)
        missing = [each for each in first if each.passage_id not in self._known]
        if missing:
            started = time.monotonic()
            self.outcome, scores, truncated = await self._traced_scores(missing, deadline, stages)
            self._known |= scores
            self.truncated = self.truncated or truncated
            if stages is not None:
                stages.took("rerank", time.monotonic() - started)
        if self.outcome != "reranked":
            self._known = {}  # an order by some scores would be neither of the two
            self.truncated = False
        self._scores = {
            each.passage_id: self._known[each.passage_id] for each in first if each.passage_id in self._known
        }

    async def _traced_scores(
        self, ranked: Sequence[RankedPassage], deadline: float, stages: Stages | None
    ) -> tuple[RerankOutcome, dict[int, float], bool]:
        """Return ``SearchReranker.scores``, within a span if the search is recorded: calls for it are below it."""
        if stages is None or stages.span is None:
            return await self._reranker.scores(self._command, ranked, deadline)
        with within(stages.span.child(SPANS["rerank"])) as span:
            span.set("tandem.documents", len(ranked))
            found = await self._reranker.scores(self._command, ranked, deadline)
            if found[0] != "reranked":
                span.set("error.type", found[0])
            return found

    def arranged(self, ranked: Sequence[RankedPassage]) -> list[RankedPassage]:
        """Return a ranking, or a longer one that begins with it, in the order of the scores."""
        return reordered(ranked, self._scores)

    @property
    def has_scores(self) -> bool:
        """Whether there are scores."""
        return bool(self._scores)

    def end(self) -> None:
        """Count the search."""
        self._reranker.ended(self.outcome)


def passage_text(hit: Hit) -> str:
    """Return the text of a hit's best passage; the document's if it is not split."""
    return hit.text if hit.passage is None else hit.text[hit.passage.start : hit.passage.stop]


def _renamed(error: InvalidRequest, param: str) -> GatewayError:
    _, _, said = str(error).partition(": ")
    return InvalidRequest(f"{param}: {said or error}", param=param, code=error.code)
