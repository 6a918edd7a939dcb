"""Embed a collection with another model while the old vectors serve, switch to the new ones, and back."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np

from tandem_gateway.errors import Conflict, DeadlineExceeded, InvalidRequest, NotFound
from tandem_gateway.ports.catalogue import Catalogue
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.ports.reembedding import Reembeddings
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.reembedding import Reembedding, SpaceModel
from tandem_gateway.use_cases.reembedding_worker import Faults, ReembeddingWorker
from tandem_gateway.use_cases.validation import check_collection
from tandem_runtime.durations import duration

MAX_QUERIES: Final = 100
"""Maximum number of queries of an overlap report."""
DEFAULT_QUERIES: Final = 50
COMPARED: Final = 10
"""How many of the nearest documents an overlap report compares."""
# Queries of a report that the index answers in one go; searches wait meanwhile.
_AT_ONCE: Final = 5
_PROBE: Final = "a harmless text"

Status = Literal["filling", "ready", "switched"]


class SpaceIndex(Protocol):
    """Finds the documents nearest to vectors in a space; the index thread implements it."""

    def nearest(self, space_id: int, vectors: Vectors, count: int) -> Future[list[list[int]]]:
        """Return for each row of ``vectors`` the first passages of the nearest documents, the nearest first."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the re-embedding of a collection is."""

    state: Reembedding
    faults: Faults

    @property
    def status(self) -> Status:
        """``filling``: passages miss vectors. ``ready``: the collection can switch. ``switched``: it has switched."""
        if self.state.space.switched:
            return "switched"
        return "ready" if self.state.complete else "filling"


@dataclass(frozen=True, slots=True)
class Overlap:
    """How alike searches in both spaces are."""

    queries: int
    """Number of queries that found documents."""
    overlap: float | None
    """Mean share of the nearest documents in one space that are also among those in the other; None without queries."""


class Reembed:
    """Re-embeds collections; one event loop owns it."""

    def __init__(
        self,
        store: Reembeddings,
        catalogue: Catalogue,
        canary: Embedder | None,
        worker: ReembeddingWorker,
        index: SpaceIndex,
        *,
        timeout: float,
        on_changed: Callable[[], None],
    ) -> None:
        """Make the use case.

        Args:
            store: the second spaces.
            catalogue: the collections.
            canary: the embedders of the other model; None if there are none.
            worker: fills the spaces.
            index: searches the spaces.
            timeout: maximum seconds of a call to the canary or of an overlap report.
            on_changed: called after each change.
        """
        self._store = store
        self._catalogue = catalogue
        self._canary = canary
        self._worker = worker
        self._index = index
        self._timeout = timeout
        self._on_changed = on_changed

    async def start(self, collection: str) -> Progress:
        """Begin to embed a collection with the canary's model.

        Raises:
            InvalidRequest: the name is not valid.
            NotFound: there is no such collection.
            Conflict: there is no canary, it has the collection's model, the collection has no vectors, or it is being
                re-embedded already.
            EmbedderError, Overloaded, DeadlineExceeded: the canary does not answer.
        """
        check_collection(collection)
        if self._canary is None:
            raise Conflict(
                "collection: there is no canary with another model (TANDEM_CANARY_URL is not set)", param="collection"
            )
        # Before the call: it may take long, or fail.
        if collection not in {record.name for record in await self._catalogue.collections()}:
            raise NotFound(f"collection: there is no collection {collection!r}", param="collection")
        # The reply to a call is the only proof of a model.
        found = await self._canary.embed([_PROBE], kind="document", priority="bulk", timeout=self._timeout)
        target = SpaceModel(found.model, found.fingerprint, int(found.vectors.shape[1]))
        return self._changed(await self._store.start(collection, target))

    async def progress(self, collection: str) -> Progress:
        """Return how far the re-embedding of a collection is.

        Raises:
            InvalidRequest: the name is not valid.
            NotFound: the collection is not being re-embedded, or does not exist.
        """
        return self._with_faults(await self._state(collection))

    async def switch(self, collection: str, *, back: bool = False) -> Progress:
        """Let searches use the other vectors from now on: the new ones, or the old ones again if ``back``.

        Raises:
            InvalidRequest, NotFound: see ``progress``.
            Conflict: they do so already, or a passage has no such vector.
        """
        check_collection(collection)
        return self._changed(await self._store.switch(collection, back=back))

    async def drop(self, collection: str) -> bool:
        """Drop the vectors that do not serve, and return whether there were any.

        Raises:
            InvalidRequest: the name is not valid.
        """
        check_collection(collection)
        dropped = await self._store.drop(collection)
        self._worker.notify()
        self._on_changed()
        return dropped

    async def overlap(self, collection: str, queries: int) -> Overlap:
        """Compare searches in both spaces, with the vectors of some stored documents as queries.

        Raises:
            InvalidRequest: the name or the number is not valid.
            NotFound: see ``progress``.
            Conflict: a passage has no vector in one of the spaces.
            DeadlineExceeded: the comparison took too long.
        """
        if not 1 <= queries <= MAX_QUERIES:
            raise InvalidRequest(
                f"queries: a whole number from 1 to {MAX_QUERIES} was expected, not {queries}",
                param="queries",
                code="limit_exceeded",
            )
        state = await self._state(collection)
        if not state.complete:
            raise Conflict(
                f"collection: {state.passages - state.embedded} of {state.passages} passages of {collection!r} have no "
                f"vector of model fingerprint {state.space.target.fingerprint} yet; the overlap would be too low",
                param="collection",
            )
        try:
            async with asyncio.timeout(self._timeout):
                return await self._compared(collection, state, queries)
        except TimeoutError:
            raise DeadlineExceeded(f"the searches were not compared within {duration(self._timeout)}") from None

    async def _compared(self, collection: str, state: Reembedding, queries: int) -> Overlap:
        sampled = await self._store.sample(collection, queries)
        pairs: list[tuple[list[int], list[int]]] = []
        for start in range(0, len(sampled), _AT_ONCE):
            part = sampled[start : start + _AT_ONCE]
            of_serving = await self._nearest(state.space.serving_id, [each.serving for each in part])
            of_second = await self._nearest(state.space.space_id, [each.second for each in part])
            for each, serving, second in zip(part, of_serving, of_second, strict=True):
                pairs.append((others(serving, each.passage_id), others(second, each.passage_id)))
        return mean_overlap(pairs)

    async def _nearest(self, space_id: int, vectors: Sequence[bytes]) -> list[list[int]]:
        rows = np.stack([np.frombuffer(each, "<f4") for each in vectors]).astype(np.float32, copy=False)
        return await asyncio.wrap_future(self._index.nearest(space_id, rows, COMPARED + 1))

    async def _state(self, collection: str) -> Reembedding:
        check_collection(collection)
        found = await self._store.reembedding(collection)
        if found is None:
            raise NotFound(f"collection: {collection!r} is not being re-embedded", param="collection")
        return found

    def _changed(self, state: Reembedding) -> Progress:
        self._worker.notify()
        self._on_changed()
        return self._with_faults(state)

    def _with_faults(self, state: Reembedding) -> Progress:
        return Progress(state, self._worker.faults(state.space))


def others(nearest: Sequence[int], itself: int) -> list[int]:
    """Return the ``COMPARED`` documents nearest to a document, without the document itself."""
    return [each for each in nearest if each != itself][:COMPARED]


def mean_overlap(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Overlap:
    """Return the mean share of common documents.

    Args:
        pairs: for each query the documents nearest to it in one space and in the other. A pair of two empty lists does
            not count.
    """
    shares = [len({*one} & {*other}) / max(len(one), len(other)) for one, other in pairs if one or other]
    return Overlap(len(shares), sum(shares) / len(shares) if shares else None)
