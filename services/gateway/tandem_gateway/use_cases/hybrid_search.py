"""Hybrid search: vector search and keyword search at the same time, fused into one ranking.

Both retrievers return passages without their documents: a fused ranking needs more passages than an answer has hits.
The documents of the answer are read afterwards, once.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

import numpy as np

from tandem_gateway.errors import DeadlineExceeded, NotReady, Overloaded, StorageUnavailable
from tandem_gateway.index.filtered import in_both
from tandem_gateway.ports.search import LexicalIndex
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.explanation import Stages
from tandem_gateway.records.search import AnsweredBy, KeywordCandidates, RankedPassage
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.dense_search import DenseSearch
from tandem_gateway.use_cases.fusion import fuse
from tandem_gateway.use_cases.result_pages import CANDIDATES, Answer, ResultPages
from tandem_gateway.use_cases.retrieved import Found
from tandem_gateway.use_cases.vector_lookup import DenseCandidates

# A thread intersects more passages, because it would hold the event loop for more than a few milliseconds.
_AT_ONCE_KEYS: Final = 50_000
KEYWORD_ERRORS: Final = (NotReady, Overloaded, DeadlineExceeded, StorageUnavailable)
"""Errors with which the keyword index says that it cannot answer now."""


class HybridSearch:
    """Answers searches by both indexes, and pages and filtered searches of each; see the module."""

    def __init__(self, dense: DenseSearch, lexical: LexicalIndex, pages: ResultPages) -> None:
        """Make the use case.

        Args:
            dense: finds passages by their vectors.
            lexical: finds passages by their words.
            pages: reads the documents of passages.
        """
        self._dense = dense
        self._lexical = lexical
        self._pages = pages

    async def search(
        self,
        command: SearchCommand,
        seconds: float,
        patience: float,
        *,
        degrades: bool,
        on_vectors: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Return the hits of a valid search.

        Args:
            command: the search.
            seconds: maximum seconds for the search.
            patience: maximum seconds for each of the two retrievals.
            degrades: whether vector search answers alone if keyword search cannot answer. It does not if the query
                leaves out documents, because only the keyword index knows which.
            on_vectors: called when vector search has answered.

        Raises:
            NotFound: the collection does not exist.
            InvalidRequest: the documents found exceed the size limit of an answer.
            EmbedderError, FingerprintMismatch, StorageError, Overloaded: vector search cannot answer, or keyword search
                cannot and ``degrades`` is false.
            DeadlineExceeded: as above, or the documents were not read in time.
        """

        async def retrieve(count: int, until: float, stages: Stages | None) -> Found:
            among = await self._pages.among(command, until, stages)
            allowed = await self._allowed(command, until)
            both = await _both(among, allowed)
            may_degrade = degrades and not command.constrained
            dense, lexical = await self._retrieve(
                command, count, until, both, stages, degrades=may_degrade, on_vectors=on_vectors
            )
            started = time.monotonic()
            ranked, answered_by = rank(dense, lexical, command)
            if stages is not None:
                stages.fused(started, time.monotonic())
            coverage = dense.coverage
            if answered_by == "lexical":
                coverage = Coverage(unknown=coverage.unknown)  # what the model did not read, keyword search did
            return Found(ranked, answered_by, lexical is None, coverage, among, dense.passages, lexical, allowed)

        return await self._pages.answer(command, seconds, patience, retrieve, is_current=self._is_allowed)

    async def dense(self, command: SearchCommand, seconds: float) -> Answer:
        """Return a page of a valid vector search; raises as ``search``."""

        async def retrieve(count: int, until: float, stages: Stages | None) -> Found:
            among = await self._pages.among(command, until, stages)
            found = await self._dense.retrieve(command, count, until - time.monotonic(), among, stages)
            return Found(found.passages, "dense", False, found.coverage, among, found.passages)

        return await self._pages.answer(command, seconds, seconds, retrieve)

    async def lexical(self, command: SearchCommand, seconds: float) -> Answer:
        """Return a page of a valid keyword search; raises as ``LexicalIndex.search``."""

        async def retrieve(count: int, until: float, stages: Stages | None) -> Found:
            among = await self._pages.among(command, until, stages)
            found = await self._by_words(command, count, until, among, stages)
            return Found(found.passages, "lexical", False, WHOLE, among, None, found)

        return await self._pages.answer(command, seconds, seconds, retrieve)

    async def _by_words(
        self, command: SearchCommand, count: int, until: float, among: Keys | None, stages: Stages | None
    ) -> KeywordCandidates:
        started = time.monotonic()
        try:
            found = await self._lexical.retrieve(
                command.collection, command.query, count, timeout=until - started, among=among
            )
        except BaseException as error:
            if stages is not None:
                stages.failed("words", started, time.monotonic(), error)
            raise
        if stages is not None:
            stages.add("words", started, time.monotonic())
        return found

    async def _is_allowed(self, found: Found, command: SearchCommand, until: float) -> bool:
        """Return whether the query's phrases and exclusions still leave the same passages."""
        return found.allowed is None or np.array_equal(
            found.allowed,
            await self._lexical.allowed(command.collection, command.query, timeout=until - time.monotonic()),
        )

    async def _allowed(self, command: SearchCommand, until: float) -> Keys | None:
        """Return the passages that the query's phrases and exclusions leave; None if it has none."""
        if not command.constrained:
            return None
        return await self._lexical.allowed(command.collection, command.query, timeout=until - time.monotonic())

    async def _retrieve(
        self,
        command: SearchCommand,
        count: int,
        until: float,
        among: Keys | None,
        stages: Stages | None,
        *,
        degrades: bool,
        on_vectors: Callable[[], None],
    ) -> tuple[DenseCandidates, KeywordCandidates | None]:
        """Return the passages of both indexes; None for keyword search if it cannot answer and ``degrades`` is true."""
        left = until - time.monotonic()
        words = asyncio.create_task(
            self._by_words(command, count, until, among, stages),
            name="keyword search",
        )
        try:
            dense = await self._dense.retrieve(command, count, left, among, stages)
            on_vectors()
            try:
                return dense, await words
            except KEYWORD_ERRORS:
                if not degrades:
                    raise
                return dense, None
        finally:
            if words.done():
                if not words.cancelled():
                    words.exception()  # otherwise asyncio would log an error that nobody looked at
            else:
                words.cancel()
                await asyncio.gather(words, return_exceptions=True)
            del words  # it refers to its error, whose traceback refers to this frame


async def _both(among: Keys | None, allowed: Keys | None) -> Keys | None:
    """Return the passages that a filter and the query's phrases and exclusions leave; None for all."""
    if among is None or allowed is None:
        return allowed if among is None else among
    if len(among) + len(allowed) <= _AT_ONCE_KEYS:
        return in_both(among, allowed)
    return await asyncio.to_thread(in_both, among, allowed)


def rank(
    dense: DenseCandidates, lexical: KeywordCandidates | None, command: SearchCommand
) -> tuple[list[RankedPassage], AnsweredBy]:
    """Return the ranking that answers a search, and the search that made it.

    The first ``CANDIDATES`` of both retrievers are fused. The others follow with the score 0, in the order in which the
    retrievers have them. So a longer ranking begins with the shorter one.

    Args:
        dense: the passages of vector search.
        lexical: the passages of keyword search; None if it cannot answer.
        command: the search; tells how to fuse the rankings, and whether only passages with a cosine count. Passages
            that it does not need may be left out.
    """
    if lexical is None:
        return dense.passages, "dense"
    if not dense.coverage.unreadable:
        first = KeywordCandidates(lexical.passages[:CANDIDATES], lexical.weight)
        most = None if command.needs_whole_ranking else command.depth
        fused = fuse(dense.passages[:CANDIDATES], first, command.fusion, most)
        if len(fused) == most:
            return fused, "hybrid"
        return fused + _rest(dense.passages, lexical.passages, {each.passage_id for each in fused}), "hybrid"
    if command.min_score is not None:
        return dense.passages, "dense"
    # The vector of a wholly unknown query is nearest to other wholly unknown texts: no hits are better than those.
    if lexical.passages or dense.coverage.unknown == 1.0:
        return lexical.passages, "lexical"
    return dense.passages, "dense"


def _rest(
    dense: Sequence[RankedPassage], lexical: Sequence[RankedPassage], ranked: Collection[int]
) -> list[RankedPassage]:
    """Return the passages beyond the fused ones, alternately from both retrievers."""
    rest: dict[int, RankedPassage] = {}
    for place in range(CANDIDATES, max(len(dense), len(lexical))):
        for each in (*dense[place : place + 1], *lexical[place : place + 1]):
            if each.passage_id not in ranked:
                rest.setdefault(each.passage_id, each._replace(score=0.0))
    return list(rest.values())
