"""LRU cache of query vectors, by model and text: a repeated query needs no embedder call."""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from tandem_gateway.records.embedders import QueryVector

_LONGEST_KEY: Final = 256
"""In characters. The key of a longer query is its hash, so that a thousand long queries take little memory."""

_Key = tuple[str, str | bytes]


class QueryVectorCache:
    """Caches the vectors of the ``capacity`` most recently used queries; one event loop owns it."""

    def __init__(self, capacity: int) -> None:
        """Make an empty cache; a capacity of 0 turns it off."""
        self._capacity = capacity
        self._vectors: OrderedDict[_Key, QueryVector] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return _key(*key) in self._vectors

    def get(self, fingerprint: str, text: str) -> QueryVector | None:
        """Return a query's vector by this model; None if it is not cached."""
        key = _key(fingerprint, text)
        found = self._vectors.get(key)
        if found is not None:
            self._vectors.move_to_end(key)
        return found

    def put(self, text: str, found: QueryVector) -> None:
        """Cache a query's vector, and evict the least recently used one if the cache is full."""
        if self._capacity == 0:
            return
        key = _key(found.fingerprint, text)
        # Copy the row: a view would keep the whole batch in memory.
        self._vectors[key] = msgspec.structs.replace(found, vector=found.vector.copy())
        self._vectors.move_to_end(key)
        if len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)


def _key(fingerprint: str, text: str) -> _Key:
    return (fingerprint, text if len(text) <= _LONGEST_KEY else hashlib.blake2b(text.encode(), digest_size=32).digest())
