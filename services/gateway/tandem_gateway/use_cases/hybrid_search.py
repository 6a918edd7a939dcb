"""Hybrid search: vector search and keyword search at the same time, fused into one ranking.

Both retrievers return passages without their documents: a fused ranking needs more passages than an answer has hits.
The documents of the answer are read afterwards, once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from tandem_gateway.errors import DeadlineExceeded, NotReady, Overloaded, StorageUnavailable
from tandem_gateway.ports.filters import FilterIndex
from tandem_gateway.ports.search import Hydrator, LexicalIndex
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.search import AnsweredBy, Hit, KeywordCandidates, RankedPassage
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.dense_search import DenseCandidates, DenseSearch
from tandem_gateway.use_cases.fusion import fuse

KEYWORD_ERRORS: Final = (NotReady, Overloaded, DeadlineExceeded, StorageUnavailable)
"""Errors with which the keyword index says that it cannot answer now."""

CANDIDATES: Final = 100
"""Passages of each retriever that are fused. The order depends on this number, and not on ``top_k``."""
_MAX_REPEATS: Final = 3
"""Attempts to answer from one state of the store."""


class Answer(msgspec.Struct, frozen=True):
    """Hits by descending score; ``degraded`` is true if vector search or keyword search should have answered too."""

    hits: list[Hit]
    mode: AnsweredBy
    degraded: bool = False
    coverage: Coverage = WHOLE
    """How much of the query the model read; ``WHOLE`` if the model was not used."""
    passages: bool = True
    """Whether the hits have passages to show: the collection's texts are split."""
    only_exclusions: bool = False
    """Whether the query says only what to leave out, so that nothing can match."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The passages of a search, before their documents are read; see ``Answer``."""

    ranked: list[RankedPassage]
    answered_by: AnsweredBy
    degraded: bool
    coverage: Coverage
    among: Keys | None
    """The passages that the search's filter left; None without a filter."""
    allowed: Keys | None = None
    """The passages that the query's phrases and exclusions left; None without any."""


class HybridSearch:
    """Answers searches by both indexes, and pages and filtered searches of each; see the module."""

    def __init__(self, dense: DenseSearch, lexical: LexicalIndex, hydrator: Hydrator, filters: FilterIndex) -> None:
        """Make the use case.

        Args:
            dense: finds passages by their vectors.
            lexical: finds passages by their words.
            hydrator: reads the documents of passages.
            filters: finds the passages that match a filter.
        """
        self._filters = filters
        self._dense = dense
        self._lexical = lexical
        self._hydrator = hydrator

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

        async def retrieve(count: int, until: float) -> _Found:
            among = await self._among(command, until)
            allowed = await self._allowed(command, until)
            both = allowed if among is None else among if allowed is None else np.intersect1d(among, allowed)
            may_degrade = degrades and not command.constrained
            dense, lexical = await self._retrieve(command, count, until, may_degrade, on_vectors, both)
            ranked, answered_by = rank(dense, lexical, command)
            coverage = dense.coverage
            if answered_by == "lexical":
                coverage = Coverage(unknown=coverage.unknown)  # what the model did not read, keyword search did
            return _Found(ranked, answered_by, lexical is None, coverage, among, allowed)

        return await self._answer(command, seconds, patience, retrieve)

    async def dense(self, command: SearchCommand, seconds: float) -> Answer:
        """Return a page of a valid vector search; raises as ``search``."""

        async def retrieve(count: int, until: float) -> _Found:
            among = await self._among(command, until)
            found = await self._dense.retrieve(command, count, until - time.monotonic(), among)
            return _Found(found.passages, "dense", False, found.coverage, among)

        return await self._answer(command, seconds, seconds, retrieve)

    async def lexical(self, command: SearchCommand, seconds: float) -> Answer:
        """Return a page of a valid keyword search; raises as ``LexicalIndex.search``."""

        async def retrieve(count: int, until: float) -> _Found:
            among = await self._among(command, until)
            left = until - time.monotonic()
            found = await self._lexical.retrieve(command.collection, command.query, count, timeout=left, among=among)
            return _Found(found.passages, "lexical", False, WHOLE, among)

        return await self._answer(command, seconds, seconds, retrieve)

    async def _answer(
        self,
        command: SearchCommand,
        seconds: float,
        patience: float,
        retrieve: Callable[[int, float], Awaitable[_Found]],
    ) -> Answer:
        """Retrieve, and read the documents of the page; again if the store has changed in between."""
        deadline = time.monotonic() + seconds
        retrieved_by = time.monotonic() + patience
        repeats = 0
        while True:
            found = await retrieve(max(CANDIDATES, command.depth), retrieved_by)
            ranked = page(found.ranked, command)
            hits: list[Hit] = await self._hydrator.hydrate(ranked, timeout=deadline - time.monotonic())
            repeats += 1
            if repeats == _MAX_REPEATS or time.monotonic() >= retrieved_by:
                break
            if is_one_state(hits, ranked) and await self._is_current(found, command, retrieved_by):
                break
        return Answer(hits, found.answered_by, found.degraded, found.coverage)

    async def _is_current(self, found: _Found, command: SearchCommand, until: float) -> bool:
        """Return whether the passages that the search may show are still the same; see ``_among``."""
        if await self._among(command, until) is not found.among:
            return False
        return found.allowed is None or np.array_equal(
            found.allowed,
            await self._lexical.allowed(command.collection, command.query, timeout=until - time.monotonic()),
        )

    async def _allowed(self, command: SearchCommand, until: float) -> Keys | None:
        """Return the passages that the query's phrases and exclusions leave; None if it has none."""
        if not command.constrained:
            return None
        return await self._lexical.allowed(command.collection, command.query, timeout=until - time.monotonic())

    async def _among(self, command: SearchCommand, until: float) -> Keys | None:
        """Return the passages that match the search's filter; the same object while none of them has changed.

        A document that is replaced during the search has new passages. The search then begins again: the passages of
        the earlier answer would leave the document out.
        """
        if command.filter is None:
            return None
        timeout = until - time.monotonic()
        return await self._filters.matching(command.collection, command.filter, timeout=timeout)

    async def _retrieve(
        self,
        command: SearchCommand,
        count: int,
        until: float,
        degrades: bool,
        on_vectors: Callable[[], None],
        among: Keys | None,
    ) -> tuple[DenseCandidates, KeywordCandidates | None]:
        """Return the passages of both indexes; None for keyword search if it cannot answer and ``degrades`` is true."""
        left = until - time.monotonic()
        words = asyncio.create_task(
            self._lexical.retrieve(command.collection, command.query, count, timeout=left, among=among),
            name="keyword search",
        )
        try:
            dense = await self._dense.retrieve(command, count, left, among)
            on_vectors()
            try:
                return dense, await words
            except KEYWORD_ERRORS:
                if not degrades:
                    raise
                return dense, None
        finally:
            words.cancel()
            await asyncio.gather(words, return_exceptions=True)
            del words  # it refers to its error, whose traceback refers to this frame


def rank(
    dense: DenseCandidates, lexical: KeywordCandidates | None, command: SearchCommand
) -> tuple[list[RankedPassage], AnsweredBy]:
    """Return the ranking that answers a search, and the search that made it.

    The first ``CANDIDATES`` of both retrievers are fused. The others follow with the score 0, in the order in which the
    retrievers have them. So a longer ranking begins with the shorter one.

    Args:
        dense: the passages of vector search.
        lexical: the passages of keyword search; None if it cannot answer.
        command: the search; tells how to fuse the rankings, and whether only passages with a cosine count.
    """
    if lexical is None:
        return dense.passages, "dense"
    if not dense.coverage.unreadable:
        first = KeywordCandidates(lexical.passages[:CANDIDATES], lexical.weight)
        fused = fuse(dense.passages[:CANDIDATES], first, command.fusion)
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


def page(ranked: Sequence[RankedPassage], command: SearchCommand) -> list[RankedPassage]:
    """Return the passages of a ranking that the search asks for."""
    if command.min_score is not None:
        least = command.min_score
        ranked = [each for each in ranked if each.dense is not None and each.dense >= least]
    return list(ranked[command.offset : command.depth])


def is_one_state(hits: Sequence[Hit], ranked: Sequence[RankedPassage]) -> bool:
    """Return whether the hits of a ranking can be of one state of the store.

    They are not if a document was replaced between the two retrievals, or before it was read: then a passage has no
    document any more, or a document occurs in an old and a new version.
    """
    return len(hits) == len(ranked) == len({hit.doc_id for hit in hits})
