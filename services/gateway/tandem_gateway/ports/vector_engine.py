"""Port for vector engines: databases that search the vectors of spaces which do not fit into a gateway's memory.

An engine is a copy of the store's vectors, and may be behind. The rows of an answer and their scores come from the
store. A passage id is never given to another passage, so writes are idempotent, and their order does not matter.
"""

from collections.abc import Collection, Iterator
from typing import Protocol

from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.engines import EngineSpace, EngineState

MAX_COUNT = 16_384
"""Largest ``count`` of a search."""


class VectorEngine(Protocol):
    """Stores and searches vectors; its calls block. Only one thread may use it.

    Every method may raise StorageUnavailable.
    """

    def state(self, space: EngineSpace) -> EngineState | None:
        """Return the published generation of a space; None if there is none."""
        ...

    def begin(self, space: EngineSpace) -> EngineState:
        """Make a new, empty generation of a space, which is not published."""
        ...

    def write(
        self, space: EngineSpace, state: EngineState, added: Keys, vectors: Vectors, removed: Keys, position: int
    ) -> EngineState:
        """Add and remove vectors, and record the position once the engine keeps all of them.

        Args:
            space: the space.
            state: a generation of it.
            added: ``(n,) uint64``; those that are there already keep their vectors.
            vectors: ``(n, dim) float32``, rows of unit length.
            removed: ``(m,) uint64``; those that are not there are skipped.
            position: number of the last of these changes.

        Returns:
            The state after it; it is never behind the one before.
        """
        ...

    def publish(self, space: EngineSpace, state: EngineState) -> None:
        """Make a generation the published one. The generation before stays for a while, for gateways that search it."""
        ...

    def search(
        self, space: EngineSpace, state: EngineState, queries: Vectors, count: int, among: Keys | None = None
    ) -> list[dict[int, float]]:
        """Return up to ``count`` keys with their cosines for each query, nearest first.

        The search is approximate: it may miss a near vector, and the cosines may be less precise than float32.

        Args:
            space: the space.
            state: the generation to search.
            queries: ``(m, dim) float32``, rows of unit length.
            count: maximum number of keys, at most ``MAX_COUNT``.
            among: the keys that may be found, ``(n,) uint64``, at most ``MAX_COUNT``; None for all.

        Raises:
            VectorsGone: the engine has the generation no more.
        """
        ...

    def keys(self, space: EngineSpace, state: EngineState) -> Iterator[Keys]:
        """Yield the keys of a generation, ``(n,) uint64`` each, in no particular order."""
        ...

    def count(self, space: EngineSpace, state: EngineState) -> int:
        """Return how many vectors a generation has; may take long."""
        ...

    def remove_orphans(self, store_id: str, spaces: Collection[int]) -> list[str]:
        """Remove what no gateway needs: other spaces of the store, and generations that were replaced before the last.

        Args:
            store_id: the store.
            spaces: the spaces to keep.

        Returns:
            The names of what was removed.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...
