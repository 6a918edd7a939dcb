"""The one thread that owns the indexes: it follows the store and answers searches.

usearch's removals, loads and saves take no lock and must never run concurrently with a search. This thread therefore
makes all access to the indexes serial. A whole batch of queries is one hop to the thread, which searches and then reads
the hits' rows from the store.

Before each batch the thread asks the store for new commits. A search therefore finds every change that was acknowledged
before the search began. It does not ask if all queries of the batch only need a position that the indexes have.

The hop to the thread and back takes longer than a search of a small collection whose rows are cached. While the thread
is idle, the event loop therefore runs such a search itself, under a lock. If only rows are missing, the thread reads
them and does not search again.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tandem_gateway.analysis.languages import DEFAULT_LANGUAGE
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.errors import DeadlineExceeded, GatewayError, NotReady, for_log
from tandem_gateway.index import catch_up
from tandem_gateway.index.base import Base
from tandem_gateway.index.builder import DEFAULT_SIZES, Sizes
from tandem_gateway.index.indexes import Indexes
from tandem_gateway.index.retrieval import VectorRetrieval, needed
from tandem_gateway.index.shared_snapshots import SharedSnapshots
from tandem_gateway.index.snapshot_update import Places
from tandem_gateway.index.state import Answer, DocumentVector, Found, IndexState, VectorQuery
from tandem_gateway.ports import position
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.index import GraphFactory, SnapshotStore
from tandem_gateway.ports.vector_engine import VectorEngine
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.index import SnapshotManifest
from tandem_gateway.records.search import Hits, RankedPassage
from tandem_gateway.records.sizes import IndexPosition

log = logging.getLogger(__name__)

R = TypeVar("R")

# Maximum number of vectors that the event loop compares in one go, at 0.05 to 0.1 µs each.
_AT_ONCE = 12_000


@dataclass(frozen=True, slots=True)
class OtherSources:
    """Where indexes may come from beside the store and the data directory."""

    snapshots: SharedSnapshots | None = None
    """Of other gateways, at startup; None for a gateway that shares none."""
    open_engines: Callable[[], Mapping[str, VectorEngine]] = dict
    """Opens the vector engines; called in the thread, which owns them."""


_NO_OTHER_SOURCES = OtherSources()


class IndexThread:
    """Serialises all access to the indexes; see the module."""

    def __init__(
        self,
        open_feed: Callable[[], IndexFeed],
        snapshots: SnapshotStore,
        factory: GraphFactory,
        limits: AnswerLimits,
        *,
        sizes: Sizes = DEFAULT_SIZES,
        sources: OtherSources = _NO_OTHER_SOURCES,
        in_loop: bool = True,
        on_search: Callable[[float, int], None] = lambda seconds, queries: None,
    ) -> None:
        """Make the thread; ``start`` starts it.

        Args:
            open_feed: called in the thread, which owns the feed.
            snapshots: source of the indexes at startup.
            factory: loads graphs.
            limits: see ``AnswerLimits``.
            sizes: minimum numbers of vectors for graphs.
            sources: what several gateways share; see ``OtherSources``.
            in_loop: whether the event loop may run short searches that ask the store; false if ``version`` of the feed
                may take long.
            on_search: called with the seconds and the number of queries of each batch, in the thread or the event loop.
        """
        self._open_feed = open_feed
        self._snapshots = snapshots
        self._factory = factory
        self._limits = limits
        self._sizes = sizes
        self._sources = sources
        self._in_loop = in_loop
        self._on_search = on_search
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._indexes: Indexes | None = None
        self._retrieval: VectorRetrieval | None = None
        # Guards all access to the indexes. The event loop only tries the lock and never waits for it.
        self._touching = threading.Lock()
        self._poked = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def start(self) -> Future[list[str]]:
        """Start the thread and load every index.

        Returns:
            A future of the repairs, for the log; it fails if the store cannot be read.
        """
        self._thread.start()
        return self._call(self._load)

    def search(self, queries: Sequence[VectorQuery]) -> "asyncio.Future[list[Answer]]":
        """Answer queries: for each its hits by descending score, or the error that concerns it alone.

        Call it in an event loop. The future belongs to that loop: an answer costs one wake-up and no chain of futures,
        or no wake-up if the answer is available at once.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Answer]] = loop.create_future()
        if self._closed:
            answer.set_exception(NotReady("the gateway is shutting down"))
            return answer
        answers, found = self._search_at_once(queries)
        if answers is not None:
            answer.set_result(answers)
            return answer

        self._tasks.put(partial(self._answer, loop, answer, queries, found))
        return answer

    async def hydrate(
        self, ranked: Sequence[RankedPassage], *, timeout: float, texts: bool = True, metadata: bool = True
    ) -> Hits:
        """Return the hits of passages, in their order; see ``Hydrator.hydrate``."""
        found = self._hydrate_at_once(ranked, metadata=metadata) if texts else None
        if found is not None:
            return found
        return await self._read(lambda retrieval: retrieval.hydrate(ranked, texts=texts, metadata=metadata), timeout)

    async def vectors(self, collection: str, passage_ids: Sequence[int], *, timeout: float) -> dict[int, bytes]:
        """Return the vectors of passages; see ``Hydrator.vectors``."""
        return await self._read(lambda retrieval: retrieval.vectors(collection, passage_ids), timeout)

    async def with_vectors(self, collection: str, hits: Hits, *, timeout: float) -> Hits:
        """Return hits with the vectors of their best passages; see ``Hydrator.with_vectors``."""
        return await self._read(lambda retrieval: retrieval.with_vectors(collection, hits), timeout)

    async def collection(self, name: str, *, timeout: float) -> CollectionRecord:
        """Return the record of a collection; see ``VectorSource.collection``."""
        at_least = position.required.get()
        return await self._read(lambda retrieval: retrieval.collection(name, at_least), timeout)

    async def document_vector(self, collection: str, doc_id: str, *, timeout: float) -> DocumentVector:
        """Return the vector of a document; see ``VectorSource.document_vector``."""
        at_least = position.required.get()
        return await self._read(lambda retrieval: retrieval.document_vector(collection, doc_id, at_least), timeout)

    def fingerprint(self, collection: str) -> str | None:
        """Return a collection's pinned fingerprint, None if the index does not know it; callable from any thread."""
        return self._indexes.fingerprint(collection) if self._indexes is not None else None

    def splits(self, collection: str) -> bool:
        """Return whether a collection's texts are split into passages; callable from any thread."""
        return self._indexes is None or self._indexes.splits(collection)

    def language(self, collection: str) -> str:
        """Return the language of a collection; callable from any thread."""
        return DEFAULT_LANGUAGE if self._indexes is None else self._indexes.language(collection)

    def nearest(self, space_id: int, vectors: Vectors, count: int) -> Future[list[list[int]]]:
        """Return the documents nearest to each vector in a space; see ``Indexes.nearest``."""
        return self._call(lambda: self._loaded().nearest(space_id, vectors, count))

    async def size(self, collection: str, *, timeout: float) -> IndexPosition | None:
        """Return what a collection's index holds; see ``IndexSizes.size``."""
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(self._call(lambda: self._loaded().position(collection)))
        except TimeoutError:
            raise DeadlineExceeded("the index did not tell its size in time") from None

    def state(self) -> Future[list[IndexState]]:
        """Return the state of each index."""
        return self._call(lambda: self._loaded().state())

    def load_base(self, space_id: int) -> tuple[Base, SnapshotManifest]:
        """Return the verified base of a space's snapshot, for ``adopt``. Call it from any thread but the index's.

        Reading and verifying a large snapshot takes seconds; meanwhile the index's thread keeps answering.

        Raises:
            SnapshotUnusable: if there is no snapshot, or it is damaged.
        """
        manifest = self._snapshots.manifest(space_id)
        return catch_up.load(self._snapshots, self._factory, manifest, writable=False), manifest

    def adopt(self, space_id: int, base: Base, manifest: SnapshotManifest) -> Future[None]:
        """Replace a space's index with a new snapshot's; see ``Indexes.adopt``."""
        return self._call(lambda: self._loaded().adopt(space_id, base, manifest))

    def follow(self) -> Future[bool]:
        """Bring every index up to date; the future's result is false, since nothing is left."""

        def follow() -> bool:
            self._loaded().follow()
            return False

        return self._call(follow)

    def refresh(self, space_id: int) -> Future[None]:
        """Search the last state of a space in its vector engine; see ``Indexes.refresh``."""
        return self._call(lambda: self._loaded().refresh(space_id))

    def notify(self) -> None:
        """Make the indexes catch up soon, so that commits are applied before the next search needs them."""
        if not self._poked.is_set() and not self._closed:
            self._poked.set()
            self._tasks.put(self._follow_quietly)

    def close(self) -> None:
        """Finish the queued tasks and end the thread; blocks."""
        self._closed = True
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()

    def _call(self, function: Callable[[], R]) -> Future[R]:
        result: Future[R] = Future()
        if self._closed:
            result.set_exception(NotReady("the gateway is shutting down"))
            return result

        self._tasks.put(partial(_run, function, result))
        return result

    def _answer(
        self,
        loop: asyncio.AbstractEventLoop,
        answer: "asyncio.Future[list[Answer]]",
        queries: Sequence[VectorQuery],
        found: Found | None,
    ) -> None:
        """Answer queries; runs in the thread."""
        answers: list[Answer] | None = None
        failure: BaseException | None = None
        try:
            self._loaded()
            assert self._retrieval is not None
            answers = self._retrieval.search(queries, found)
        except BaseException as error:  # of any kind: without it the caller would wait for ever
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits
            loop.call_soon_threadsafe(_settle, answer, answers, failure)
        # A failure's traceback refers to this frame. Drop the references back: the garbage collector frees cycles late.
        del answer, answers, failure

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            with self._touching:
                task()
            del task  # it may hold an answer, whose memory would stay in use until the next task comes
        if self._indexes is not None:
            self._indexes.close()

    def _load(self) -> list[str]:
        places = Places(
            self._open_feed(),
            self._snapshots,
            self._factory,
            self._sizes,
            self._sources.snapshots,
            self._sources.open_engines(),
        )
        indexes = Indexes(places)
        # Set before the load, so that ``_run`` closes the feed even if the load fails.
        self._indexes = indexes
        self._retrieval = VectorRetrieval(indexes, places.feed, self._limits, on_search=self._on_search)
        return indexes.load()

    def _loaded(self) -> Indexes:
        if self._indexes is None:
            raise NotReady("the index is not loaded yet")
        return self._indexes

    def _search_at_once(self, queries: Sequence[VectorQuery]) -> tuple[list[Answer] | None, Found | None]:
        """Search in the event loop, if the thread is idle and the search is short.

        Returns:
            The answers, if all their rows are cached; and the candidates, if any, so that the thread need not search.
        """
        if self._retrieval is None or not self._tasks.empty():
            return None, None
        if not self._in_loop and needed(queries) is None:
            return None, None
        if not self._touching.acquire(blocking=False):
            return None, None
        try:
            found = self._retrieval.find_in_memory(queries, _AT_ONCE)
            return (self._retrieval.answer_in_memory(queries, found), found) if found is not None else (None, None)
        except Exception:
            return None, None  # the thread meets the same error and reports it
        finally:
            self._touching.release()

    async def _read(self, read: Callable[[VectorRetrieval], R], timeout: float) -> R:
        """Read what an answer needs in the thread, for at most ``timeout`` seconds."""

        def reading() -> R:
            self._loaded()
            assert self._retrieval is not None
            return read(self._retrieval)

        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(self._call(reading))
        except TimeoutError:
            raise DeadlineExceeded("the documents found were not read in time") from None

    def _hydrate_at_once(self, ranked: Sequence[RankedPassage], *, metadata: bool) -> Hits | None:
        """Return the hits in the event loop, if the thread is idle and all their documents are cached."""
        if self._closed or self._retrieval is None or not self._touching.acquire(blocking=False):
            return None
        try:
            return self._retrieval.hydrate_in_memory(ranked, metadata=metadata)
        finally:
            self._touching.release()

    def _follow_quietly(self) -> None:
        self._poked.clear()
        try:
            self._loaded().follow()
        except GatewayError as error:
            # The next search meets the same error and reports it to its caller.
            log.error("the index could not follow the store", extra={"error": for_log(error)})


def _run(function: Callable[[], R], result: Future[R]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(function())
    except BaseException as error:  # of any kind: without it the caller would wait for ever
        result.set_exception(error)
    finally:
        del result  # as in ``IndexThread._answer``


def _settle(answer: "asyncio.Future[list[Answer]]", found: list[Answer] | None, failure: BaseException | None) -> None:
    if answer.done():
        return
    if found is not None:
        answer.set_result(found)
    else:
        answer.set_exception(failure if isinstance(failure, Exception) else RuntimeError(repr(failure)))
