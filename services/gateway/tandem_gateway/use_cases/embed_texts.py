"""Embeds texts for clients that want vectors and store nothing.

A small request shares embedder calls with searches and other small requests, and its vectors are cached. A large one is
divided into calls in the bulk lane, a few at a time; large requests take turns call by call. Both wait for their places
instead of being refused, until their deadline: clients send a burst of requests and do not repeat those refused.

All vectors of one reply are of one model, also while embedders are updated.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec
import numpy as np

from tandem_contract.embed import Kind
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderRejected,
    EmbedderUnavailable,
    InvalidRequest,
    Overloaded,
)
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.embedders import ServedModel
from tandem_gateway.use_cases.embed_request import (
    EmbedCommand,
    EmbeddedTexts,
    EmbedLimits,
    ModelRules,
    check_texts,
    cut_to,
    param_of,
)
from tandem_gateway.use_cases.embedding_plan import divide, lane
from tandem_gateway.use_cases.query_embedder import QueryEmbedder
from tandem_gateway.use_cases.served_model import check_name, names_of, required
from tandem_gateway.use_cases.slots import Slots
from tandem_runtime import trace
from tandem_runtime.durations import duration
from tandem_runtime.memory import Lease

T = TypeVar("T")

_LEAST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 1.0
"""Seconds before a call that the embedder refused for load is repeated."""


class _Part(msgspec.Struct, frozen=True):
    """The vectors of consecutive texts."""

    vectors: Vectors
    model: str
    fingerprint: str
    tokens: int
    coverages: Sequence[Coverage]


class EmbedTexts:
    """Embeds texts; one event loop owns it."""

    def __init__(
        self,
        queries: QueryEmbedder,
        embedder: Embedder,
        served: Callable[[], ServedModel | None],
        *,
        limits: EmbedLimits,
        rules: ModelRules | None = None,
    ) -> None:
        """Make the use case.

        Args:
            queries: embeds the texts of small requests.
            embedder: embeds those of large ones.
            served: returns the model that the embedders serve; None if it is not known.
            limits: see ``EmbedLimits``.
            rules: see ``ModelRules``.
        """
        self._queries = queries
        self._embedder = embedder
        self._served = served
        self._limits = limits
        self._rules = rules or ModelRules()
        self._small = Slots(lambda: limits.small_texts)
        self._calls = Slots(lambda: limits.calls * embedder.replicas)

    def model(self) -> ServedModel:
        """Return the model that the embedders serve.

        Raises:
            EmbedderUnavailable: no embedder has told it yet.
        """
        return required(self._served())

    def names(self) -> list[str]:
        """Return the names of the served model, its own first; raises as ``model`` does."""
        return names_of(self.model().model or "", self._rules.aliases)

    def knows(self, name: str) -> bool:
        """Return whether this is a name of the served model; raises as ``model`` does."""
        return name in self.names()

    async def embed(self, command: EmbedCommand, lease: Lease, timeout: float | None = None) -> EmbeddedTexts:
        """Return the vectors of texts.

        Args:
            command: the texts; this method checks them.
            lease: of the request's memory; it also holds the vectors of a large request when this returns.
            timeout: seconds that the caller will wait. The configured timeout applies if it is shorter.

        Raises:
            InvalidRequest: a field is not valid; the error names the field and the limit.
            NotFound: the client asks for another model, and that is refused.
            EmbedderError, Overloaded: the texts cannot be embedded now.
            OverBudget: the requests in progress use up the memory budget.
            DeadlineExceeded: they were not embedded in time.
        """
        check_texts(command, self._limits.text_chars)
        trace.admitted()
        served = self._served()
        if served is not None:
            if served.model is not None:
                check_name(command.model, served.model, self._rules.aliases, strict=self._rules.strict)
            if served.dim is not None:
                self._check_dimensions(command.dimensions, served.dim)
        seconds = self._limits.timeout if timeout is None else min(timeout, self._limits.timeout)
        until = time.monotonic() + seconds
        fingerprint = served.fingerprint if served is not None else None
        try:
            async with asyncio.timeout(seconds):
                parts = await self._parts(command, fingerprint, lease, until)
        except (TimeoutError, DeadlineExceeded):  # a stage knows only what was left of the deadline
            raise DeadlineExceeded(f"{command.param}: the texts were not embedded within {duration(seconds)}") from None
        return self._finished(command, parts)

    async def _parts(
        self, command: EmbedCommand, fingerprint: str | None, lease: Lease, until: float
    ) -> Sequence[_Part]:
        try:
            if lane(command.texts, command.kind) == "interactive":
                part = await self._small_part(command.texts, fingerprint, until)
                if part is not None:
                    return [part]
            return await self._large_parts(command, fingerprint, lease, until)
        except EmbedderRejected as error:
            raise InvalidRequest(
                f"{command.param}: {error}",
                param=command.param,
                code="limit_exceeded" if error.code == "limit_exceeded" else "invalid_field",
            ) from None

    # small requests

    async def _small_part(self, texts: Sequence[str], fingerprint: str | None, until: float) -> _Part | None:
        """Return the vectors; None if they are of two models."""

        async def call() -> _Part | None:
            timeout = min(until - time.monotonic(), self._limits.call_timeout)
            found = await self._queries.embed(texts, timeout=timeout, fingerprint=fingerprint)
            first = found[0]
            if any(each.fingerprint != first.fingerprint for each in found):
                return None
            vectors = first.vector[np.newaxis] if len(found) == 1 else np.stack([each.vector for each in found])
            tokens = sum(each.tokens or 0 for each in found)
            return _Part(vectors, first.model, first.fingerprint, tokens, [each.coverage for each in found])

        await self._small.take(len(texts))
        try:
            return await _patiently(call)
        finally:
            self._small.give_back(len(texts))

    # large requests

    async def _large_parts(
        self, command: EmbedCommand, fingerprint: str | None, lease: Lease, until: float
    ) -> list[_Part]:
        limits = self._limits
        slices = list(divide(command.texts, limits.call_texts, limits.call_chars))
        parts: dict[int, _Part] = {}
        await self._fill(parts, slices, range(len(slices)), command, fingerprint, lease, until)
        most = Counter(part.fingerprint for part in parts.values()).most_common(1)[0][0]
        others = [place for place, part in parts.items() if part.fingerprint != most]
        if others:
            await self._fill(parts, slices, others, command, most, lease, until)
        if any(part.fingerprint != most for part in parts.values()):
            raise EmbedderUnavailable("the embedders serve different models now, while they are updated; retry later")
        return [parts[place] for place in range(len(slices))]

    async def _fill(
        self,
        parts: dict[int, _Part],
        slices: Sequence[slice],
        places: Sequence[int],
        command: EmbedCommand,
        fingerprint: str | None,
        lease: Lease,
        until: float,
    ) -> None:
        """Embed the texts of some slices into ``parts``, a few calls at a time."""
        todo = iter(places)

        async def work() -> None:
            for place in todo:
                parts[place] = await self._call(command.texts[slices[place]], command.kind, fingerprint, until)
                lease.add(parts[place].vectors.nbytes)

        workers = min(len(places), self._limits.calls * self._embedder.replicas)
        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            del tasks, task  # breaks the reference cycle: error, traceback, this frame, task, error

    async def _call(self, texts: Sequence[str], kind: Kind, fingerprint: str | None, until: float) -> _Part:
        async def call() -> _Part:
            timeout = min(until - time.monotonic(), self._limits.call_timeout)
            found = await self._embedder.embed(
                texts, kind=kind, priority="bulk", timeout=timeout, fingerprint=fingerprint
            )
            return _Part(found.vectors, found.model, found.fingerprint, sum(found.tokens), found.coverages)

        await self._calls.take()
        try:
            return await _patiently(call)
        finally:
            self._calls.give_back()

    # the reply

    def _finished(self, command: EmbedCommand, parts: Sequence[_Part]) -> EmbeddedTexts:
        # What was known of the model before, if anything, may have changed.
        check_name(command.model, parts[0].model, self._rules.aliases, strict=self._rules.strict)
        coverages = [coverage for part in parts for coverage in part.coverages or [WHOLE] * len(part.vectors)]
        truncated = [place for place, coverage in enumerate(coverages) if coverage.truncated]
        if truncated and not command.cut:
            tokens = self._embedder.model_tokens
            limit = f" {tokens}" if tokens is not None else ""
            param = param_of(command, truncated[0])
            raise InvalidRequest(
                f"{param}: has more tokens than the model's limit of{limit} tokens, and the request forbids to cut it",
                param=param,
                code="limit_exceeded",
            )
        blocks: Sequence[Vectors] = [part.vectors for part in parts]
        dim = blocks[0].shape[1]
        self._check_dimensions(command.dimensions, dim)
        if command.dimensions is not None and command.dimensions != dim:
            blocks = [cut_to(block, command.dimensions) for block in blocks]
        return EmbeddedTexts(blocks, parts[0].model, sum(part.tokens for part in parts), len(truncated))

    def _check_dimensions(self, wanted: int | None, dim: int) -> None:
        """Check the number of dimensions that a client wants of vectors that have ``dim``."""
        if wanted is None or wanted == dim:
            return
        if not self._rules.matryoshka:
            raise InvalidRequest(
                f"dimensions: the model's vectors have {dim}, and a part of one means nothing; leave the field out, or "
                "set TANDEM_MATRYOSHKA if the model was trained for shorter vectors",
                param="dimensions",
            )
        if not 1 <= wanted <= dim:
            raise InvalidRequest(
                f"dimensions: a whole number from 1 to {dim} was expected, not {wanted}",
                param="dimensions",
                code="limit_exceeded",
            )


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Return the result of a call, which is repeated while it is refused for load; the caller limits the time."""
    while True:
        try:
            return await call()
        except Overloaded as error:
            wait = min(max(error.retry_after, _LEAST_WAIT), _LONGEST_WAIT)
        await asyncio.sleep(wait)
