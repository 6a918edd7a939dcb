"""The one thread that owns the indexes: it follows the store and answers searches.

usearch's removals, loads and saves take no lock, and must never run beside a search; here nothing runs beside
anything. A whole batch of queries is one hop to this thread: search, then the hits' rows from the store.

Before each batch the thread asks the store whether anything was committed since; what was acknowledged before a
search began is therefore always found by it.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tandem_gateway.errors import FingerprintMismatch, GatewayError, NoSnapshotYet, NotFound, NotReady, SnapshotUnusable
from tandem_gateway.index import follower
from tandem_gateway.index.follower import Followed
from tandem_gateway.model import CollectionRecord, Hit, Keys, LiveDocument, Vectors
from tandem_gateway.ports import ChangeFeed, SnapshotStore, VectorIndexFactory

log = logging.getLogger(__name__)

R = TypeVar("R")

# How often hits whose rows were replaced meanwhile are looked for again before they are left out.
_MAX_REPEATS = 3


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """One query; ``vector`` is ``(dim,) float32`` of unit length."""

    collection: str
    vector: Vectors
    fingerprint: str
    top_k: int


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far a collection's index is, for metrics and the decision to take a snapshot."""

    collection_id: int
    collection: str
    count: int
    position: int
    removed: int
    loaded: int = 0
    """Position of the snapshot that it was loaded from; 0 if it was built from the store."""


class IndexThread:
    """Runs everything that touches an index; see the module."""

    def __init__(
        self,
        open_feed: Callable[[], ChangeFeed],
        snapshots: SnapshotStore,
        factory: VectorIndexFactory,
        *,
        on_search: Callable[[float, int], None] = lambda seconds, queries: None,
    ) -> None:
        """Make the thread; ``start`` starts it.

        Args:
            open_feed: called in the thread, which owns the feed.
            snapshots: where indexes are loaded from at the start.
            factory: makes indexes.
            on_search: called in the thread with the seconds and the queries of each batch.
        """
        self._open_feed = open_feed
        self._snapshots = snapshots
        self._factory = factory
        self._on_search = on_search
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._followed: dict[int, Followed] = {}
        self._loaded: dict[int, int] = {}
        self._records: dict[str, CollectionRecord] = {}
        self._feed: ChangeFeed | None = None
        self._poked = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def start(self) -> Future[list[str]]:
        """Start the thread and load every index.

        Returns:
            What was repaired, for the log; the error if the store cannot be read.
        """
        self._thread.start()
        return self._call(self._load)

    def search(self, queries: Sequence[VectorQuery]) -> "asyncio.Future[list[list[Hit] | GatewayError]]":
        """Answer queries: for each its hits by descending score, or the error that concerns it alone.

        To be called in an event loop, whose future is returned: one wake-up of the loop, and no chain of futures.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[list[Hit] | GatewayError]] = loop.create_future()
        if self._closed:
            answer.set_exception(NotReady("the gateway is shutting down"))
            return answer

        def run() -> None:
            found: list[list[Hit] | GatewayError] | None = None
            failure: BaseException | None = None
            try:
                found = self._search(queries)
            except BaseException as error:  # whoever waits has to hear of it, whatever it is
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle, answer, found, failure)

        self._tasks.put(run)
        return answer

    def fingerprint(self, collection: str) -> str | None:
        """Return the fingerprint that a collection is pinned to, as far as the index knows; any thread may ask."""
        record = self._records.get(collection)
        return record.fingerprint if record is not None else None

    def state(self) -> Future[list[IndexState]]:
        """Return how far each index is."""
        return self._call(self._state)

    def reload(self, collection_id: int) -> Future[None]:
        """Take a collection's index from its snapshot, which a helper has built anew."""
        return self._call(lambda: self._reload(collection_id))

    def poke(self) -> None:
        """Let the indexes catch up soon; what is committed need not wait for the next search to be applied."""
        if not self._poked.is_set() and not self._closed:
            self._poked.set()
            self._tasks.put(self._follow_quietly)

    def close(self) -> None:
        """End the thread, after what is queued; blocks."""
        self._closed = True
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()

    def _call(self, function: Callable[[], R]) -> Future[R]:
        result: Future[R] = Future()
        if self._closed:
            result.set_exception(NotReady("the gateway is shutting down"))
            return result

        def run() -> None:
            if not result.set_running_or_notify_cancel():
                return
            try:
                result.set_result(function())
            except BaseException as error:  # whoever waits has to hear of it, whatever it is
                result.set_exception(error)

        self._tasks.put(run)
        return result

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
        if self._feed is not None:
            self._feed.close()

    def _load(self) -> list[str]:
        self._feed = feed = self._open_feed()
        records = feed.collections()
        noticed = [
            f"index folder {name!r} belonged to no collection and was removed"
            for name in self._snapshots.remove_strangers(record.collection_id for record in records)
        ]
        for record in records:
            if record.dim is None:
                continue
            started = time.monotonic()
            try:
                followed = follower.restore(feed, self._snapshots, self._factory, record)
                origin = "snapshot"
            except SnapshotUnusable as reason:
                followed = follower.empty(feed, self._factory, record.dim)
                origin = "store"
                if not isinstance(reason, NoSnapshotYet):
                    noticed.append(f"index of collection {record.name!r} is rebuilt from the store: {reason}")
            self._loaded[record.collection_id] = followed.position
            applied = follower.catch_up(followed, feed, self._factory, record)
            self._followed[record.collection_id] = followed
            log.info(
                "index loaded",
                extra={
                    "collection": record.name,
                    "model": record.model,
                    "fingerprint": record.fingerprint,
                    "origin": origin,
                    "vectors": len(followed.index),
                    "changes_applied": applied,
                    "seconds": round(time.monotonic() - started, 3),
                },
            )
        self._follow()
        return noticed

    def _reload(self, collection_id: int) -> None:
        feed = self._require_feed()
        for record in feed.collections():
            if record.collection_id == collection_id and record.dim is not None:
                fresh = follower.restore(feed, self._snapshots, self._factory, record)
                follower.catch_up(fresh, feed, self._factory, record)
                self._followed[collection_id] = fresh

    def _state(self) -> list[IndexState]:
        self._follow()
        return [
            IndexState(
                record.collection_id,
                record.name,
                len(followed.index),
                followed.position,
                followed.removed,
                self._loaded.get(record.collection_id, 0),
            )
            for record in self._records.values()
            if (followed := self._followed.get(record.collection_id)) is not None
        ]

    def _follow_quietly(self) -> None:
        self._poked.clear()
        try:
            self._follow()
        except GatewayError as error:
            # The next search meets the same error and reports it to whom it concerns.
            log.error("the index could not follow the store", extra={"error": str(error)})

    def _follow(self) -> bool:
        """Bring every index up to date, and return whether there was news."""
        feed = self._require_feed()
        if not feed.has_news():
            return False
        try:
            self._records = {record.name: record for record in feed.collections()}
            known = {record.collection_id for record in self._records.values()}
            for gone in self._followed.keys() - known:
                del self._followed[gone]
            for record in self._records.values():
                if record.dim is None:
                    continue
                followed = self._followed.get(record.collection_id)
                if followed is None:
                    followed = follower.empty(feed, self._factory, record.dim)
                    self._followed[record.collection_id] = followed
                follower.catch_up(followed, feed, self._factory, record)
        except BaseException:
            feed.news_not_taken()
            raise
        return True

    def _search(self, queries: Sequence[VectorQuery]) -> list[list[Hit] | GatewayError]:
        started = time.monotonic()
        feed = self._require_feed()
        self._follow()
        for _ in range(_MAX_REPEATS):
            candidates = [self._candidates(query) for query in queries]
            wanted = {int(key) for keys in candidates if not isinstance(keys, GatewayError) for key in keys}
            rows = feed.documents(sorted(wanted))
            # A row that was replaced between index and store has its successor found by another look.
            if len(rows) == len(wanted) or not self._follow():
                break
        answers = [
            keys if isinstance(keys, GatewayError) else _score(query, keys, rows)
            for query, keys in zip(queries, candidates, strict=True)
        ]
        self._on_search(time.monotonic() - started, len(queries))
        return answers

    def _candidates(self, query: VectorQuery) -> Keys | GatewayError:
        record = self._records.get(query.collection)
        if record is None:
            return NotFound(f"collection: there is no collection {query.collection!r}", param="collection")
        followed = self._followed.get(record.collection_id)
        if followed is None:
            return np.empty(0, np.uint64)
        if (record.fingerprint, record.dim) != (query.fingerprint, len(query.vector)):
            return FingerprintMismatch(record.name, pinned=str(record.fingerprint), offered=query.fingerprint)
        return followed.index.search(query.vector[np.newaxis, :], query.top_k)[0]

    def _require_feed(self) -> ChangeFeed:
        if self._feed is None:
            raise NotReady("the index is not loaded yet")
        return self._feed


def _settle(
    answer: "asyncio.Future[list[list[Hit] | GatewayError]]",
    found: list[list[Hit] | GatewayError] | None,
    failure: BaseException | None,
) -> None:
    if answer.done():
        return
    if found is not None:
        answer.set_result(found)
    else:
        answer.set_exception(failure if isinstance(failure, Exception) else RuntimeError(repr(failure)))


def _score(query: VectorQuery, keys: Keys, rows: dict[int, LiveDocument]) -> list[Hit]:
    """Return the hits by descending cosine, computed in float32 from the stored vectors."""
    found = [rows[int(key)] for key in keys if int(key) in rows]
    if not found:
        return []
    vectors = np.frombuffer(b"".join(row.vector for row in found), dtype="<f4").reshape(len(found), -1)
    scores = np.clip(vectors @ query.vector, -1.0, 1.0)
    order = np.lexsort((np.array([row.row_id for row in found]), -scores))
    return [Hit(found[place].doc_id, float(scores[place]), found[place].text, found[place].metadata) for place in order]
