"""The filter index: columns of metadata, one set for each collection that was searched with a filter.

It is in memory only. The first filtered search of a collection reads the collection's metadata; later ones read what is
new. A collection that nobody filters costs nothing. If all columns together take more than their limit, the collections
go whose last filtered search is longest ago.

``FilterFollower`` follows the store, in one thread. ``FilterThread`` is that thread.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from tandem_gateway.errors import NotFound, NotReady, Overloaded
from tandem_gateway.filters.columns import Columns
from tandem_gateway.filters.tree import Filter
from tandem_gateway.ports.filters import MetadataLog
from tandem_gateway.records.arrays import Keys
from tandem_gateway.records.documents import CollectionRecord
from tandem_runtime.durations import duration

MAX_BYTES: Final = 256 << 20
"""Estimated size of all columns above which collections go; one collection may be larger."""
# Passage ids that one read spans, and removals that it returns. Between two reads the deadline is checked.
_SPAN: Final = 2000
_REMOVALS: Final = 5000
_KEPT_ANSWERS: Final = 16
_KEPT_ANSWER_BYTES: Final = 16 << 20
_TOO_LATE: Final = "the metadata of the collection is being read, for its filters"


@dataclass(slots=True)
class _Followed:
    """The columns of a collection, and how far they have followed the store."""

    change: int
    """Removals up to this change are applied."""
    columns: Columns = field(default_factory=Columns)
    passage: int = 0
    """Passages up to this id are there."""
    answers: OrderedDict[Filter, Keys] = field(default_factory=OrderedDict)
    """Recent answers; they hold until the columns change."""

    def keep(self, condition: Filter, found: Keys) -> None:
        """Keep an answer, and drop the oldest ones over the limits."""
        self.answers[condition] = found
        while self.answers and (
            len(self.answers) > _KEPT_ANSWERS or sum(each.nbytes for each in self.answers.values()) > _KEPT_ANSWER_BYTES
        ):
            self.answers.popitem(last=False)


class FilterFollower:
    """Answers filters, and follows the store before each answer; one thread at a time may use it."""

    def __init__(self, feed: MetadataLog, *, max_bytes: int = MAX_BYTES) -> None:
        """Follow ``feed``, which ``close`` closes; see ``MAX_BYTES`` for ``max_bytes``."""
        self._feed = feed
        self._max_bytes = max_bytes
        self._followed: OrderedDict[int, _Followed] = OrderedDict()
        """Collection → columns, the least recently used first."""

    @property
    def followed(self) -> list[int]:
        """The collections that have columns."""
        return list(self._followed)

    @property
    def bytes(self) -> int:
        """Estimated memory of the columns and the recent answers, in bytes."""
        return sum(self.by_collection().values())

    def by_collection(self) -> dict[int, int]:
        """Return the estimated memory of each collection that has columns, in bytes."""
        return {
            collection_id: each.columns.bytes + sum(answer.nbytes for answer in each.answers.values())
            for collection_id, each in self._followed.items()
        }

    def matching(self, collection: str, condition: Filter, out_of_time: Callable[[], bool]) -> Keys:
        """Return the passages that match; see ``FilterIndex.matching``.

        Raises:
            NotReady: ``out_of_time`` returned true.
        """
        record = self._feed.collection(collection)
        if record is None:
            raise NotFound(f"collection: there is no collection {collection!r}", param="collection")
        followed = self._caught_up(record, out_of_time)
        found = followed.answers.get(condition)
        if found is None:
            found = followed.columns.matching(condition)
            followed.keep(condition, found)
        return found

    def close(self) -> None:
        """Close the feed."""
        self._feed.close()

    def _caught_up(self, record: CollectionRecord, out_of_time: Callable[[], bool]) -> _Followed:
        """Return the columns of a collection after everything that is committed is in them."""
        while True:
            followed = self._followed.get(record.collection_id)
            if followed is None:
                self._forget_deleted()
                # Passages removed before are not among those that are read from now on.
                followed = self._followed[record.collection_id] = _Followed(self._feed.last_change())
            self._followed.move_to_end(record.collection_id)
            if self._catch_up(followed, record.collection_id, out_of_time) and not followed.columns.is_worn:
                self._forget_others(record.collection_id)
                return followed
            del self._followed[record.collection_id]

    def _catch_up(self, followed: _Followed, collection_id: int, out_of_time: Callable[[], bool]) -> bool:
        """Read what is new. Return false if the store no longer has all removals, so that the columns are useless."""
        while True:
            if out_of_time():  # of another kind than a late embedder, for which keyword search would answer
                raise NotReady(f"{_TOO_LATE}: passage {followed.passage} is done")
            with self._feed.reading():
                last = self._feed.last_passage()
                upto = min(last, followed.passage + _SPAN)
                added = self._feed.metadata(collection_id, followed.passage, upto) if followed.passage < last else ()
                change = self._feed.last_change()
                gone = self._feed.removals(collection_id, after=followed.change, limit=_REMOVALS)
            if not gone.whole:
                return False
            if added or gone.removals:
                followed.answers.clear()
            for passage_id, metadata in added:
                followed.columns.add(passage_id, metadata)
            # A passage that was read and removed in one state is not among those that were added.
            followed.columns.remove(removed.passage_id for removed in gone.removals)
            followed.passage = upto
            complete = len(gone.removals) < _REMOVALS
            followed.change = change if complete else gone.removals[-1].change
            if complete and upto == last:
                return True

    def _forget_deleted(self) -> None:
        existing = {record.collection_id for record in self._feed.collections()}
        for gone in self._followed.keys() - existing:
            del self._followed[gone]

    def _forget_others(self, used: int) -> None:
        """Drop the least recently used columns until the others fit the limit."""
        total = sum(each.columns.bytes for each in self._followed.values())
        for collection_id in list(self._followed):
            if total <= self._max_bytes or collection_id == used:
                return
            total -= self._followed.pop(collection_id).columns.bytes


class FilterThread:
    """Implements ``FilterIndex`` with a thread of its own."""

    def __init__(self, open_feed: Callable[[], MetadataLog], *, max_queued: int) -> None:
        """Make the index; its thread starts with the first call.

        Args:
            open_feed: called in the thread, which owns the feed.
            max_queued: maximum number of calls that wait.
        """
        self._open_feed = open_feed
        self._max_queued = max_queued
        self._queued = 0
        self._bytes: dict[int, int] = {}
        self._closed = False
        self._follower: FilterFollower | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="filters")

    @property
    def bytes(self) -> int:
        """See ``FilterIndex.bytes``."""
        return sum(self._bytes.values())

    def bytes_of(self, collection_id: int) -> int:
        """See ``FilterIndex.bytes_of``."""
        return self._bytes.get(collection_id, 0)

    async def matching(self, collection: str, condition: Filter, *, timeout: float) -> Keys:
        """Return the passages that match; see ``FilterIndex.matching``."""
        if self._closed:
            raise NotReady("the gateway is shutting down")
        if self._queued >= self._max_queued:
            raise Overloaded(
                f"{self._queued} filtered searches wait already, the limit is {self._max_queued} "
                "(TANDEM_MAX_QUEUED_QUERIES)"
            )
        deadline = time.monotonic() + timeout

        def answer() -> Keys:
            if self._follower is None:
                self._follower = FilterFollower(self._open_feed())
            try:
                return self._follower.matching(collection, condition, lambda: time.monotonic() >= deadline)
            finally:
                self._bytes = self._follower.by_collection()

        self._queued += 1
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.get_running_loop().run_in_executor(self._thread, answer)
        except TimeoutError:
            raise NotReady(f"{_TOO_LATE}; the filter was not answered within {duration(timeout)}") from None
        finally:
            self._queued -= 1

    def close(self) -> None:
        """End the thread after its current call; blocks."""
        self._closed = True
        self._thread.shutdown(cancel_futures=True)
        if self._follower is not None:
            self._follower.close()
