"""Fakes of the gateway's ports: an embedder that a test can hold and break, and an index without usearch."""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from tandem_contract.embed import Kind, Priority
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import (
    DeadlineExceeded,
    EmbedderBroken,
    EmbedderRejected,
    EmbedderUnavailable,
    GatewayError,
    Overloaded,
)
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import Answer, VectorQuery
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.chunking import Span, Split
from tandem_gateway.records.coverage import WHOLE, Coverage
from tandem_gateway.records.embedders import Embeddings
from tandem_gateway.records.search import Hit, Hits, RankedPassage
from tandem_runtime.memory import MemoryBudget

DIM = 8
FINGERPRINT = "f" * 32
MODEL = "a-model"
WAIT_SECONDS = 20.0

R = TypeVar("R")


def vector_of(text: str, dim: int = DIM) -> Vectors:
    """Return the unit vector of a text; it depends only on the text, and differs between texts."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def vectors_of(texts: Sequence[str], dim: int = DIM) -> Vectors:
    return np.stack([vector_of(text, dim) for text in texts]).astype(np.float32)


def paragraphs(text: str) -> list[Span]:
    """Return the parts of a text between blank lines."""
    return [Span(*part.span()) for part in re.finditer(r"\S(?:.*?\S)?(?=\s*\n\s*\n|\s*\Z)", text, re.DOTALL)]


class FakeEmbedder:
    """Implements ``Embedder``: returns ``vector_of`` each text, unless a test sets an error.

    ``hold()`` keeps every call until ``release()``; the switches are read when a call leaves the gate.
    """

    def __init__(self, dim: int = DIM) -> None:
        self.dim = dim
        self.fingerprint = FINGERPRINT
        self.calls: list[list[str]] = []
        self.timeouts: list[float] = []
        self.kinds: list[tuple[Kind, Priority]] = []
        self.coverage: Callable[[str], Coverage] = lambda text: WHOLE
        self.wanted: list[str | None] = []
        """The requested fingerprint of each call."""
        self.replicas = 1
        self.model_tokens: int | None = 256
        self.unavailable = False
        self.overloaded = False
        self.late = False
        self.broken: Callable[[str], bool] = lambda text: False
        """Texts for which the embedder returns an invalid answer."""
        self.rejected: Callable[[str], bool] = lambda text: False
        """Texts that the embedder refuses."""
        self.can_split = True
        self.splits: list[Split | None] = []
        """How each call that was answered was to split its texts: at blank lines, if at all."""
        self.slow: Callable[[str], bool] = lambda text: False
        self.surprise: BaseException | None = None
        """Raised unchanged."""
        self._gate = asyncio.Event()
        self._gate.set()
        self._called = asyncio.Condition()

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def embed(
        self,
        texts: Sequence[str],
        *,
        kind: Kind,
        priority: Priority,
        timeout: float,
        fingerprint: str | None = None,
        split: Split | None = None,
    ) -> Embeddings:
        async with self._called:
            self.wanted.append(fingerprint)
            self.calls.append(list(texts))
            self.timeouts.append(timeout)
            self.kinds.append((kind, priority))
            self._called.notify_all()
        await self._gate.wait()
        if self.surprise is not None:
            raise self.surprise
        if self.unavailable:
            raise EmbedderUnavailable("no embedder answers", retry_after=0.0)
        if self.overloaded:
            raise Overloaded("the embedder's queue is full", retry_after=0.0)
        if self.late:
            raise DeadlineExceeded("the embedder took too long")
        for text in texts:
            if self.slow(text):
                raise DeadlineExceeded("the embedder took too long for the text")
            if self.rejected(text):
                raise EmbedderRejected(f"the embedder refuses {text!r}")
            if self.broken(text):
                raise EmbedderBroken("the embedder sent nonsense")
        self.splits.append(split)
        if split is None or not self.can_split:
            return self._embedded(texts, None)
        spans = [paragraphs(text) for text in texts]
        passages = [text[start:stop] for text, of_text in zip(texts, spans, strict=True) for start, stop in of_text]
        return self._embedded(passages, spans)

    def _embedded(self, texts: Sequence[str], spans: Sequence[Sequence[Span]] | None) -> Embeddings:
        coverages = [self.coverage(text) for text in texts]
        tokens = [len(text) for text in texts]
        return Embeddings(vectors_of(texts, self.dim), MODEL, self.fingerprint, coverages, tokens, spans)

    async def ready(self, *, timeout: float) -> bool:
        return not self.unavailable

    async def wait_calls(self, count: int) -> None:
        """Return when ``embed`` has been called ``count`` times in total."""
        async with self._called:
            await asyncio.wait_for(self._called.wait_for(lambda: len(self.calls) >= count), WAIT_SECONDS)


class FakeGraph:
    """Implements ``Graph`` by comparison with every vector; never finds the keys in ``blind``."""

    def __init__(self, dim: int = DIM, *, writable: bool = True, blind: set[int] | None = None) -> None:
        self._dim = dim
        self._vectors: dict[int, Vectors] = {}
        self.writable = writable
        self.blind = blind if blind is not None else set()

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        assert self.writable, "a mapped graph takes no vectors"
        assert vectors.shape == (len(keys), self._dim)
        for key, vector in zip(keys.tolist(), vectors, strict=True):
            assert key not in self._vectors, f"{key} is there already"
            self._vectors[key] = np.array(vector, np.float16)

    def search(self, queries: Vectors, count: int, effort: int) -> list[dict[int, float]]:
        seen = [key for key in self._vectors if key not in self.blind]
        if not seen:
            return [{} for _ in queries]
        held = np.stack([self._vectors[key] for key in seen]).astype(np.float32)
        found = []
        for scores in queries @ held.T:
            order = np.argsort(-scores, kind="stable")[: min(count, max(effort, count))]
            found.append({seen[place]: float(scores[place]) for place in order})
        return found

    def contains(self, keys: Keys) -> npt.NDArray[np.bool_]:
        return np.array([key in self._vectors for key in keys.tolist()], np.bool_)

    def keys(self) -> Keys:
        return np.array(list(self._vectors), np.uint64)

    def vectors(self, keys: Keys) -> Vectors:
        found = [self._vectors[key] for key in keys.tolist()]
        return np.array(found, np.float32).reshape(len(keys), self._dim)

    def save(self, path: Path) -> None:
        keys = self.keys()
        with path.open("wb") as file:
            np.savez(file, keys=keys, vectors=self.vectors(keys), dim=np.array(self._dim))


class FakeGraphFactory:
    """Implements ``GraphFactory`` for ``FakeGraph``; all its graphs share ``blind``."""

    def __init__(self, description: str = "exact 1", blind: set[int] | None = None) -> None:
        self._description = description
        self.blind = blind if blind is not None else set()
        self.loaded: list[bool] = []
        """For each load, whether the graph was to be writable."""

    def create(self, dim: int) -> FakeGraph:
        return FakeGraph(dim, blind=self.blind)

    def load(self, path: Path, dim: int, *, writable: bool) -> FakeGraph:
        self.loaded.append(writable)
        with np.load(path) as saved:
            keys, vectors, held = saved["keys"], saved["vectors"], int(saved["dim"])
        if held != dim:
            raise ValueError(f"{path.name} holds vectors of {held} numbers, not {dim}")
        graph = FakeGraph(dim, blind=self.blind)
        graph.add(keys, vectors)
        graph.writable = writable
        return graph

    def description(self) -> str:
        return self._description


def answer_limits(bytes: int = 1 << 30) -> AnswerLimits:
    """Return limits that a test reaches only if it sets them."""
    return AnswerLimits(bytes, MemoryBudget(1 << 40, "TANDEM_MAX_BYTES_IN_FLIGHT"))


class FakeSearchable:
    """Returns hits, passages and documents named after the collection, or raises the error set for it."""

    def __init__(self) -> None:
        self.batches: list[list[VectorQuery]] = []
        self.pinned: dict[str, str] = {}
        self.errors: dict[str, GatewayError] = {}
        self.failure: BaseException | None = None
        self.held = False
        self.names: dict[int, str] = {2: "word in books"}
        self.hydrations: list[list[RankedPassage]] = []
        self.gone: set[int] = set()
        """Passages without a document."""
        self.texts: list[bool] = []
        """For each hydration, whether it was to read texts."""
        self.metadata: list[bool] = []
        """For each hydration, whether it was to read metadata."""
        self.vectors_by_id: dict[int, bytes] = {}
        self.pending: list[asyncio.Future[list[Answer]]] = []

    def fingerprint(self, collection: str) -> str | None:
        return self.pinned.get(collection)

    def splits(self, collection: str) -> bool:
        return True

    def language(self, collection: str) -> str:
        return "english"

    def search(self, queries: Sequence[VectorQuery]) -> "asyncio.Future[list[Answer]]":
        self.batches.append(list(queries))
        result: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        if self.failure is not None:
            result.set_exception(self.failure)
        elif self.held:
            self.pending.append(result)
        else:
            result.set_result([self.errors.get(query.collection) or self._found(query) for query in queries])
        return result

    def _found(self, query: VectorQuery) -> Answer:
        score = float(query.vector[0])
        if query.hydrated:
            return Hits([Hit(f"in {query.collection}", score, "text", "{}")] * query.top_k)
        self.names[1] = f"in {query.collection}"
        return [RankedPassage(1, score, dense=score)]

    async def hydrate(
        self, ranked: Sequence[RankedPassage], *, timeout: float, texts: bool = True, metadata: bool = True
    ) -> Hits:
        """Return hits of the passages found by ``search``, and of others by their ids."""
        self.hydrations.append(list(ranked))
        self.texts.append(texts)
        self.metadata.append(metadata)
        return Hits(
            Hit(
                self.names[each.passage_id],
                each.score,
                "text" if texts else "",
                "{}",
                each.dense,
                each.lexical,
                best=each.passage_id,
                first=each.passage_id,
            )
            for each in ranked
            if each.passage_id not in self.gone
        )

    async def vectors(self, collection: str, passage_ids: Sequence[int], *, timeout: float) -> dict[int, bytes]:
        """Return those of ``vectors_by_id``."""
        return {each: self.vectors_by_id[each] for each in passage_ids if each in self.vectors_by_id}

    async def with_vectors(self, collection: str, hits: Hits, *, timeout: float) -> Hits:
        """Return hits with ``vectors_by_id``."""
        return Hits(replace(hit, vector=self.vectors_by_id.get(hit.best or 0)) for hit in hits)


def answered(thread: IndexThread, queries: Sequence[VectorQuery]) -> list[Answer]:
    """Return the index thread's answer, from outside an event loop."""

    async def ask() -> list[Answer]:
        async with asyncio.timeout(WAIT_SECONDS):
            return await thread.search(queries)

    # In its own thread: the caller may be inside an event loop.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(ask())).result()


def run(test: Callable[[], Awaitable[R]]) -> R:
    """Run an async test for at most one minute."""

    async def bounded() -> R:
        return await asyncio.wait_for(test(), 60)

    return asyncio.run(bounded())


async def eventually(look: Callable[[], Awaitable[R]], enough: Callable[[R], bool]) -> R:
    """Call again and again until the answer satisfies the condition, and return it; fails after ``WAIT_SECONDS``."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        seen = await look()
        if enough(seen):
            return seen
        assert time.monotonic() < until, f"still {seen!r} after {WAIT_SECONDS:g} s"
        await asyncio.sleep(0.002)


async def turns(count: int = 5) -> None:
    """Run this number of turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)
