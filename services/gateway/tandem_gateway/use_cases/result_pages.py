"""Pages of a ranking: retrieves passages, and reads the documents of those that the answer has.

Retrieval and reading look at the store at different times. If it has changed in between so that the answer would be of
no one state, both are repeated.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.ports import position
from tandem_gateway.ports.filters import FilterIndex
from tandem_gateway.ports.search import Hydrator
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.explanation import Explanation, Stages
from tandem_gateway.records.search import (
    USUAL_FIELDS,
    AnsweredBy,
    Hit,
    HitField,
    Hits,
    RankedPassage,
)
from tandem_gateway.use_cases.best_passage import choose_passages
from tandem_gateway.use_cases.commands import SearchCommand
from tandem_gateway.use_cases.diversity import diversified, shares
from tandem_gateway.use_cases.explaining import places
from tandem_gateway.use_cases.grouping import MAX_GROUPED, READ_AT_ONCE, Groups
from tandem_gateway.use_cases.retrieved import Found, Retrieve, eligible, is_one_state
from tandem_gateway.use_cases.search_reranking import Reranking, SearchReranker

CANDIDATES: Final = 100
"""Passages of each retriever that are fused. The order depends on this number, and not on ``top_k``."""
_WIDEN: Final = 4
"""If there are too few groups, the search retrieves so many times as many passages."""
_FLOAT_BYTES: Final = 4
# A thread decodes more metadata, because it would hold the event loop for more than a few milliseconds.
_AT_ONCE_CHARS: Final = 1 << 16
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
    fields: frozenset[HitField] = USUAL_FIELDS
    """The parts of a hit to show."""
    only_exclusions: bool = False
    """Whether the query says only what to leave out, so that nothing can match."""
    limited: bool = False
    """Whether there may be more groups than the search looked for."""
    reranked: bool | None = None
    """Whether the reranker ordered the first documents; None if the search did not ask for it."""
    rerank_truncated: bool = False
    """Whether the reranker's model read only the beginning of a passage, or of the query."""
    explanation: Explanation | None = None
    """How the answer came about; None if the search did not ask."""


class ResultPages:
    """Answers searches page by page; see the module."""

    def __init__(
        self,
        hydrator: Hydrator,
        filters: FilterIndex,
        reranker: SearchReranker | None = None,
        language: Callable[[str], str] = lambda collection: DEFAULT_LANGUAGE,
    ) -> None:
        """Make it.

        Args:
            hydrator: reads the documents of passages.
            filters: finds the passages that match a filter.
            reranker: reranks; None only if no search asks for it.
            language: returns the language of a collection.
        """
        self._reranker = reranker
        self._language = language
        self._hydrator = hydrator
        self._filters = filters

    async def answer(
        self,
        command: SearchCommand,
        seconds: float,
        patience: float,
        retrieve: Retrieve,
        without: str | None = None,
        is_current: Callable[[Found, SearchCommand, float], Awaitable[bool]] | None = None,
    ) -> Answer:
        """Retrieve, and read the documents of the page; again if the store has changed in between.

        Args:
            command: the search.
            seconds: maximum seconds for all.
            patience: maximum seconds for the retrievals.
            retrieve: see ``Retrieve``.
            without: id of a document that ``retrieve`` leaves out. If it is among the hits all the same, the document
                was replaced meanwhile.
            is_current: whether what was retrieved is still valid; None if only the filter decides that.

        Raises:
            As ``Hydrator.hydrate`` and ``retrieve``.
        """
        deadline = time.monotonic() + seconds
        retrieved_by = time.monotonic() + patience
        stages = Stages.begin(explain=command.explain)
        repeats = 0
        reranking = None if self._reranker is None else self._reranker.begin(command)
        while True:
            found = await retrieve(max(CANDIDATES, command.considered), retrieved_by, stages)
            ranked = eligible(found.ranked, command)
            if reranking is not None:
                await reranking.score(ranked, deadline, stages)
                ranked = reranking.arranged(ranked)
            whole, limited = True, False
            if command.group_by is not None:
                groups = Groups(command.group_by)
                found, ranked, whole, limited = await self._grouped(
                    groups, command, found, retrieve, retrieved_by, stages, reranking
                )
            if command.diversity:
                comparable = found.answered_by != "lexical" or (reranking is not None and reranking.has_scores)
                ranked = await self._diversified(ranked, command, deadline, comparable=comparable)
            ranked = ranked[command.offset : command.depth]
            hits = await self._read(ranked, command, deadline, stages)
            repeats += 1
            if repeats == _MAX_REPEATS or time.monotonic() >= retrieved_by:
                break
            if (
                whole
                and is_one_state(hits, ranked, command.fields, without)
                and await self.among(command, retrieved_by) is found.among
                and (is_current is None or await is_current(found, command, retrieved_by))
            ):
                break
            position.required.set(None)  # the indexes are behind the store, so the next attempt asks it
        if without is not None and any(hit.doc_id == without for hit in hits):
            hits = Hits((hit for hit in hits if hit.doc_id != without), *hits.leases)
        answer = Answer(hits, found.answered_by, found.degraded, found.coverage, fields=command.fields, limited=limited)
        if reranking is not None:
            reranking.end()
            reranked = reranking.outcome == "reranked"
            answer = msgspec.structs.replace(answer, reranked=reranked, rerank_truncated=reranking.truncated)
        if stages is None or not command.explain:
            return answer
        stages.attempts = repeats
        explanation = _explanation(found, hits, command, stages)
        if reranking is not None:
            explanation = replace(explanation, reranked=reranking.candidates)
        return msgspec.structs.replace(answer, explanation=explanation)

    async def _grouped(
        self,
        groups: Groups,
        command: SearchCommand,
        found: Found,
        retrieve: Retrieve,
        until: float,
        stages: Stages | None,
        reranking: Reranking | None,
    ) -> tuple[Found, list[RankedPassage], bool, bool]:
        """Return the best passage of each group, and retrieve more passages until there are enough groups.

        Returns:
            What was retrieved last; the passages; whether all of them still have their documents; whether the search
            ended at ``MAX_GROUPED`` passages of a ranking.
        """
        wanted = max(CANDIDATES, command.depth) if command.diversity else command.depth
        count = max(CANDIDATES, command.considered)
        whole = True
        while True:
            ranked = eligible(found.ranked, command)
            if reranking is not None:
                ranked = reranking.arranged(ranked)
            unread = groups.unread(ranked)
            best = groups.best(ranked, wanted)
            while unread and len(best) < wanted:
                part, unread = unread[:READ_AT_ONCE], unread[READ_AT_ONCE:]
                started = time.monotonic()
                hits = await self._hydrator.hydrate(part, timeout=until - started, texts=False)
                whole = whole and len(hits) == len(part)
                if sum(len(hit.metadata) for hit in hits) <= _AT_ONCE_CHARS:
                    groups.read(part, hits)
                else:
                    await asyncio.to_thread(groups.read, part, hits)
                if stages is not None:
                    stages.add("fetch", started, time.monotonic())
                best = groups.best(ranked, wanted)
            if len(best) >= wanted or not found.may_have_more(count):
                return found, best, whole, False
            if count >= MAX_GROUPED:
                return found, best, whole, len(best) < command.depth
            count = min(_WIDEN * count, MAX_GROUPED)
            found = await retrieve(count, until, stages)

    async def _diversified(
        self, ranked: list[RankedPassage], command: SearchCommand, deadline: float, *, comparable: bool
    ) -> list[RankedPassage]:
        """Return a ranking with its first ``CANDIDATES`` in the order of maximal marginal relevance.

        ``comparable`` tells whether the scores can be compared with cosines as they are. Cosines, fused scores and the
        scores of a reranker can, BM25 scores cannot.
        """
        first, rest = ranked[:CANDIDATES], ranked[CANDIDATES:]
        best = [each.passage_id if each.nearest is None else each.nearest for each in first]
        known = await self._hydrator.vectors(command.collection, best, timeout=deadline - time.monotonic())
        if not known:
            return ranked
        vectors = np.zeros((len(best), max(map(len, known.values())) // _FLOAT_BYTES), np.float32)
        for place, passage_id in enumerate(best):
            if passage_id in known:
                vectors[place] = np.frombuffer(known[passage_id], "<f4")
        scores = [each.score for each in first]
        order = diversified(scores if comparable else shares(scores), vectors, command.diversity)
        return [first[place] for place in order] + rest

    async def among(self, command: SearchCommand, until: float, stages: Stages | None = None) -> Keys | None:
        """Return the passages that match the search's filter; the same object while none of them has changed.

        A document that is replaced during the search has new passages. The search then begins again: the passages of
        the earlier answer would leave the document out.
        """
        if command.filter is None:
            return None
        started = time.monotonic()
        found = await self._filters.matching(command.collection, command.filter, timeout=until - started)
        if stages is not None:
            stages.add("filter", started, time.monotonic())
        return found

    async def _read(
        self, ranked: Sequence[RankedPassage], command: SearchCommand, deadline: float, stages: Stages | None
    ) -> Hits:
        """Read what the search asks for of the documents of its page."""
        started = time.monotonic()
        hits = await self._hydrator.hydrate(
            ranked, timeout=deadline - started, texts=command.reads_texts, metadata=command.reads_metadata
        )
        if "vector" in command.fields:
            await choose_passages(hits, command.text_for_model, self._language(command.collection))
            hits = await self._hydrator.with_vectors(command.collection, hits, timeout=deadline - time.monotonic())
        if stages is not None:
            stages.add("fetch", started, time.monotonic())
        return hits


def _explanation(found: Found, hits: Sequence[Hit], command: SearchCommand, stages: Stages) -> Explanation:
    fusion = command.fusion if found.answered_by == "hybrid" else None
    return Explanation(
        stages,
        len(found.dense) if found.dense is not None else None,
        len(found.lexical.passages) if found.lexical is not None else None,
        len(found.among) if found.among is not None else None,
        places([hit.first for hit in hits], found.dense, found.lexical, fusion, CANDIDATES),
    )
