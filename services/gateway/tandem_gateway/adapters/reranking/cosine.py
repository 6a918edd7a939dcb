"""Reranks by the cosine of the vectors of query and document: it needs no model but the embedder's.

The query shares embedder calls and the vector cache with the queries of searches. The documents are embedded for each
request: a few short ones in the lane of queries, more in the lane of documents, so that searches do not wait. A search
has its passages' vectors in the store, and only its query is embedded.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np

from tandem_contract.embed import Priority
from tandem_gateway.adapters.batching import first_within
from tandem_gateway.adapters.reranking.concurrently import concurrently
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest, RerankerUnavailable
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.records.embedders import Embeddings, QueryVector
from tandem_gateway.records.reranking import RerankScores
from tandem_runtime.durations import duration
from tandem_runtime.memory import utf8_bytes

INTERACTIVE_DOCUMENTS: Final = 16
INTERACTIVE_CHARS: Final = 16_384
"""Documents up to this number and this many characters together go into the lane of queries."""

_FLOAT_BYTES: Final = 4


class QueryVectors(Protocol):
    """Turns queries into vectors; ``use_cases.query_embedder.QueryEmbedder`` implements it."""

    async def embed(self, texts: Sequence[str], *, timeout: float, fingerprint: str | None = None) -> list[QueryVector]:
        """Return one vector per text, in order; a vector of the model with the fingerprint may come from a cache."""
        ...


@dataclass(frozen=True, slots=True)
class CosineLimits:
    """Bounds of the calls for documents."""

    batch: int
    """Maximum number of documents in one call."""
    batch_bytes: int
    """Maximum UTF-8 bytes of the documents in one call; a larger document goes alone."""
    calls: int
    """Maximum number of calls in flight, of all requests together."""


class CosineReranker:
    """Implements ``ports.reranker.Reranker`` and ``VectorReranker``; one event loop owns it.

    The score of a document is ``(1 + cos) / 2``, from 0 to 1; its raw score is the cosine, from -1 to 1.
    """

    def __init__(self, queries: QueryVectors, embedder: Embedder, limits: CosineLimits) -> None:
        """Make the adapter.

        Args:
            queries: embeds queries.
            embedder: embeds documents.
            limits: see ``CosineLimits``.
        """
        self._queries = queries
        self._embedder = embedder
        self._limits = limits
        self._places = asyncio.Semaphore(limits.calls)
        self._fingerprint: str | None = None

    async def rerank(
        self, query: str, documents: Sequence[str], *, timeout: float, model: str | None = None, raw: bool = False
    ) -> RerankScores:
        """Return the score of each document; see ``Reranker.rerank``."""
        deadline = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                asked = await self._embed_query(query, deadline, self._fingerprint)
                _check_model(model, asked)
                texts = list(dict.fromkeys(documents))
                found = await self._embed(texts, asked.fingerprint, deadline)
                asked = await self._of_one_model(query, asked, found, deadline)
        except TimeoutError:
            raise DeadlineExceeded(f"the documents were not reranked within {duration(timeout)}") from None
        return _scores(asked, texts, found, documents, raw=raw)

    async def rerank_vectors(
        self, query: str, vectors: Sequence[bytes], fingerprint: str, *, timeout: float, model: str | None = None
    ) -> RerankScores | None:
        """Return the score of each vector; see ``VectorReranker.rerank_vectors``."""
        try:
            async with asyncio.timeout(timeout):
                asked = await self._embed_query(query, time.monotonic() + timeout, fingerprint)
        except TimeoutError:
            raise DeadlineExceeded(f"the query was not embedded within {duration(timeout)}") from None
        _check_model(model, asked)
        if asked.fingerprint != fingerprint or any(len(each) != _FLOAT_BYTES * len(asked.vector) for each in vectors):
            return None
        rows = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), len(asked.vector))
        cosines = np.clip(rows @ asked.vector, -1.0, 1.0).tolist()
        scores = [(1.0 + cosine) / 2.0 for cosine in cosines]
        return RerankScores(scores, asked.model, (), asked.coverage.truncated, asked.tokens)

    async def _embed_query(self, query: str, deadline: float, fingerprint: str | None) -> QueryVector:
        left = deadline - time.monotonic()
        [vector] = await self._queries.embed([query], timeout=left, fingerprint=fingerprint)
        self._fingerprint = vector.fingerprint
        return vector

    async def _embed(self, texts: Sequence[str], fingerprint: str, deadline: float) -> list[Embeddings]:
        """Return the vectors of texts, batch by batch."""
        lane = lane_of(texts)

        async def embed(batch: Sequence[str]) -> Embeddings:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded("the documents were not embedded in time")
            return await self._embedder.embed(
                batch, kind="document", priority=lane, timeout=left, fingerprint=fingerprint
            )

        calls = [partial(embed, batch) for batch in batches(texts, self._limits)]
        return await concurrently(calls, self._places)

    async def _of_one_model(
        self, query: str, asked: QueryVector, found: Sequence[Embeddings], deadline: float
    ) -> QueryVector:
        """Return the query's vector by the model that made the documents' vectors."""
        made = {each.fingerprint for each in found}
        if made <= {asked.fingerprint}:
            return asked
        if len(made) == 1:
            again = await self._embed_query(query, deadline, made.pop())
            if all(again.fingerprint == each.fingerprint for each in found):
                return again
        raise RerankerUnavailable("the embedders have different models now, whose vectors cannot be compared")


def _check_model(model: str | None, asked: QueryVector) -> None:
    if model is not None and model != asked.model:
        raise InvalidRequest(f"model: {asked.model!r} is the model that reranks here, and the only one", param="model")


def lane_of(texts: Sequence[str]) -> Priority:
    """Return the lane of the embedder's queue for documents: that of queries for a few short ones."""
    few = len(texts) <= INTERACTIVE_DOCUMENTS and sum(map(len, texts)) <= INTERACTIVE_CHARS
    return "interactive" if few else "bulk"


def batches(texts: Sequence[str], limits: CosineLimits) -> list[list[str]]:
    """Return texts in batches, in order; each has at least one text."""
    found: list[list[str]] = []
    taken = 0
    while taken < len(texts):
        batch = first_within(texts[taken : taken + limits.batch], utf8_bytes, limits.batch_bytes)
        found.append(batch)
        taken += len(batch)
    return found


def _scores(
    asked: QueryVector, texts: Sequence[str], found: Sequence[Embeddings], documents: Sequence[str], *, raw: bool
) -> RerankScores:
    """Return the scores of documents from the vectors of the different ones among them, ``texts``."""
    cosines: dict[str, float] = {}
    cut: set[str] = set()
    tokens = asked.tokens
    rest = iter(texts)
    for each in found:
        rows = np.clip(each.vectors @ asked.vector, -1.0, 1.0).tolist()
        batch = [next(rest) for _ in rows]
        cosines.update(zip(batch, rows, strict=True))
        cut.update(text for text, coverage in zip(batch, each.coverages, strict=False) if coverage.truncated)
        tokens = tokens + sum(each.tokens) if tokens is not None and each.tokens else None
    return RerankScores(
        [cosines[text] if raw else (1.0 + cosines[text]) / 2.0 for text in documents],
        asked.model,
        [place for place, text in enumerate(documents) if text in cut],
        asked.coverage.truncated,
        tokens,
    )
