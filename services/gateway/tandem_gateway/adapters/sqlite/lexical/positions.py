"""How far the keyword index has followed the removals of each collection, and when it reports that to the store."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

from tandem_gateway.errors import Overloaded, StorageUnavailable

Record = Callable[[Mapping[int, int]], Future[int]]
"""Records positions in the store; see ``FollowerPositions.record_positions``."""

# The store keeps an applied removal for this long. Each report costs a commit of the store and a sync of the index.
_REPORT_SECONDS = 60.0
# After a failed report. A failed write wakes the follower, so a report without a pause would follow at once.
_RETRY_SECONDS = 5.0


class Positions:
    """The change up to which the removals of each collection are applied.

    A position in memory may be ahead of the position in the file: to apply a removal twice does no harm.
    """

    def __init__(self, saved: Mapping[int, int]) -> None:
        """Begin with the positions in the file, by collection."""
        self._saved = dict(saved)
        self._current = dict(saved)

    def of(self, collection_id: int) -> int:
        """Return a collection's position; 0 if nothing is known of it."""
        return self._current.get(collection_id, 0)

    def all(self) -> dict[int, int]:
        """Return all positions, by collection."""
        return dict(self._current)

    def passed(self, collection_id: int, change: int) -> None:
        """Set a collection's position in memory."""
        self._current[collection_id] = change

    def saved(self, collection_id: int, change: int) -> None:
        """Set a collection's position, which the file has."""
        self._saved[collection_id] = self._current[collection_id] = change

    def unsaved(self, collection_ids: Iterable[int]) -> list[tuple[int, int]]:
        """Return (collection, position) of those of the collections whose position the file does not have."""
        return [(each, self.of(each)) for each in collection_ids if self._saved.get(each) != self.of(each)]

    def keep_only(self, collection_ids: Iterable[int]) -> None:
        """Forget all other collections."""
        for gone in self._current.keys() - set(collection_ids):
            del self._current[gone]
            self._saved.pop(gone, None)


class Reports:
    """Reports positions to the store: those of a new collection at once, and all that changed once a minute.

    Until the first report of a collection, the store keeps no removals of it for the keyword index.
    """

    def __init__(self, record: Record | None) -> None:
        """Report by ``record``; None for an index that reports nothing."""
        self._record = record
        self._reported: dict[int, int] = {}
        self._reported_at = -_REPORT_SECONDS
        self._not_before = 0.0
        self._writing: Future[int] | None = None

    def due(self, positions: Mapping[int, int], now: float) -> bool:
        """Return whether ``report`` has work, at ``now`` seconds of the monotonic clock."""
        if self._record is None:
            return False
        if self._writing is not None:
            if not self._writing.done():
                return False
            if self._writing.cancelled() or self._writing.exception() is not None:
                self._reported.clear()
                self._not_before = now + _RETRY_SECONDS
            self._writing = None
        if now < self._not_before:
            return False
        if now - self._reported_at >= _REPORT_SECONDS:
            return any(self._reported.get(each) != position for each, position in positions.items())
        return not positions.keys() <= self._reported.keys()

    def report(self, positions: Mapping[int, int], now: float) -> None:
        """Report the positions that changed. If the store takes no write now, try again some seconds later."""
        assert self._record is not None
        changed = {each: position for each, position in positions.items() if self._reported.get(each) != position}
        self._reported_at = now
        try:
            self._writing = self._record(changed)
        except (Overloaded, StorageUnavailable):
            self._not_before = now + _RETRY_SECONDS
            return
        self._reported = dict(positions)
