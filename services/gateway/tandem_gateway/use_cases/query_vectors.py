"""The vectors of recent queries, by model and text: a query that comes again needs no embedder."""

from collections import OrderedDict

from tandem_gateway.model import Vectors


class QueryVectors:
    """Keeps the vectors of the ``capacity`` queries used last; one event loop owns it."""

    def __init__(self, capacity: int) -> None:
        """Make it empty; a capacity of 0 keeps nothing."""
        self._capacity = capacity
        self._vectors: OrderedDict[tuple[str, str], Vectors] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._vectors

    def get(self, fingerprint: str, text: str) -> Vectors | None:
        """Return the query's vector, ``(dim,) float32``, by the model of that fingerprint; None if it is not kept."""
        key = (fingerprint, text)
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, fingerprint: str, text: str, vector: Vectors) -> None:
        """Keep a query's vector, and drop the one that was not used for longest."""
        if self._capacity == 0:
            return
        key = (fingerprint, text)
        # A copy: a row of a batch would keep the whole batch in memory.
        self._vectors[key] = vector.copy()
        self._vectors.move_to_end(key)
        if len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
