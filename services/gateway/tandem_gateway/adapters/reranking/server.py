"""Reranks by rerank servers: splits the documents of a request into calls, and joins their scores."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tandem_gateway.adapters.reranking.concurrently import concurrently
from tandem_gateway.adapters.reranking.shapes import RerankApi, ServerScores
from tandem_gateway.errors import DeadlineExceeded, InvalidRequest
from tandem_gateway.records.reranking import RerankScores
from tandem_runtime.durations import duration


class RerankServers(Protocol):
    """Makes one call to one of the servers; ``pool.RerankPool`` implements it."""

    async def rerank(
        self, query: str, documents: Sequence[str], *, model: str | None, raw: bool, timeout: float
    ) -> ServerScores:
        """Return the scores of documents; raises as ``Reranker.rerank``."""
        ...


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds of the calls."""

    batch: int
    """Maximum number of documents in one call."""
    calls: int
    """Maximum number of calls in flight, of all requests together."""


class ServerReranker:
    """Implements ``ports.reranker.Reranker``; one event loop owns it."""

    def __init__(self, servers: RerankServers, api: RerankApi, model: str | None, limits: ServerLimits) -> None:
        """Make the adapter.

        Args:
            servers: makes the calls.
            api: the servers' API. Servers of TEI have one model each, and a call cannot name it.
            model: name of the model that serves, or of the one that calls ask for; None if it is not known.
            limits: see ``ServerLimits``.
        """
        self._servers = servers
        self._api = api
        self._model = model
        self._limits = limits
        self._places = asyncio.Semaphore(limits.calls)

    async def rerank(
        self, query: str, documents: Sequence[str], *, timeout: float, model: str | None = None, raw: bool = False
    ) -> RerankScores:
        """Return the score of each document; see ``Reranker.rerank``."""
        wanted = self._checked(model)
        deadline = time.monotonic() + timeout

        async def call(batch: Sequence[str]) -> ServerScores:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded("the documents were not reranked in time")
            return await self._servers.rerank(query, batch, model=wanted, raw=raw, timeout=left)

        size = self._limits.batch
        batches = [documents[start : start + size] for start in range(0, len(documents), size)]
        try:
            async with asyncio.timeout(timeout):
                found = await concurrently([partial(call, batch) for batch in batches], self._places)
        except TimeoutError:
            raise DeadlineExceeded(f"the documents were not reranked within {duration(timeout)}") from None
        tokens = [each.tokens for each in found if each.tokens is not None]
        return RerankScores(
            [score for each in found for score in each.scores],
            wanted,
            tokens=sum(tokens) if found and len(tokens) == len(found) else None,
        )

    def _checked(self, model: str | None) -> str | None:
        """Return the model to ask for.

        Raises:
            InvalidRequest: a server of TEI serves another model.
        """
        if model is None or self._api != "tei" or model == self._model:
            return model or self._model
        served = "is not known: set TANDEM_RERANKER_MODEL" if self._model is None else f"is {self._model!r}"
        raise InvalidRequest(f"model: the rerank server's model {served}", param="model")
