"""The vectors of recent queries, by model and text: a query that comes again needs no embedder."""

import hashlib
from collections import OrderedDict
from typing import Final

from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.coverage import WHOLE, Coverage

_LONGEST_KEY: Final = 256
"""Characters: the key of a longer query is its hash, so that a thousand long queries take no memory."""

_Key = tuple[str, str | bytes]


class QueryVectorCache:
    """Keeps the vectors of the ``capacity`` queries used last; one event loop owns it."""

    def __init__(self, capacity: int) -> None:
        """Make it empty; a capacity of 0 keeps nothing."""
        self._capacity = capacity
        self._vectors: OrderedDict[_Key, tuple[Vectors, Coverage]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return _key(*key) in self._vectors

    def get(self, fingerprint: str, text: str) -> tuple[Vectors, Coverage] | None:
        """Return the query's vector, ``(dim,) float32``, by the model of that fingerprint, and what it stands for.

        None if it is not kept.
        """
        key = _key(fingerprint, text)
        found = self._vectors.get(key)
        if found is not None:
            self._vectors.move_to_end(key)
        return found

    def put(self, fingerprint: str, text: str, vector: Vectors, coverage: Coverage = WHOLE) -> None:
        """Keep a query's vector, and drop the one that was not used for longest."""
        if self._capacity == 0:
            return
        key = _key(fingerprint, text)
        # A copy: a row of a batch would keep the whole batch in memory.
        self._vectors[key] = (vector.copy(), coverage)
        self._vectors.move_to_end(key)
        if len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)


def _key(fingerprint: str, text: str) -> _Key:
    return (fingerprint, text if len(text) <= _LONGEST_KEY else hashlib.blake2b(text.encode(), digest_size=32).digest())
