"""A cache of what the store holds, limited in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteLimitedCache(Generic[V]):
    """LRU cache of values by passage id. One thread at a time may use it.

    Passages are immutable and their ids are never reused, so a cached value never goes stale. Deleted passages need no
    invalidation: callers only ask for ids that an index just returned.
    """

    def __init__(self, capacity: int, bytes_of: Callable[[V], int]) -> None:
        """Make an empty cache.

        Args:
            capacity: approximate maximum in bytes.
            bytes_of: returns the memory of a value in bytes; always the same for one value.
        """
        self._capacity = capacity
        self._bytes_of = bytes_of
        self._kept: OrderedDict[int, V] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Memory of the cached values in bytes."""
        return self._bytes

    def look_up(self, passage_ids: Iterable[int]) -> tuple[dict[int, V], list[int]]:
        """Return the cached values by id, and the other ids."""
        found: dict[int, V] = {}
        missing = []
        for passage_id in passage_ids:
            value = self._kept.get(passage_id)
            if value is None:
                missing.append(passage_id)
            else:
                self._kept.move_to_end(passage_id)
                found[passage_id] = value
        return found, missing

    def keep(self, passage_id: int, value: V) -> None:
        """Add a value, and drop the least recently used ones that no longer fit."""
        replaced = self._kept.pop(passage_id, None)
        self._kept[passage_id] = value
        self._bytes += self._bytes_of(value) - (self._bytes_of(replaced) if replaced is not None else 0)
        while self._bytes > self._capacity:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= self._bytes_of(oldest)

    def clear(self) -> None:
        """Forget all values."""
        self._kept.clear()
        self._bytes = 0
