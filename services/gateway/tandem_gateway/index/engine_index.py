"""A collection's index whose vectors are in a vector engine, except those after the engine's position.

The engine may be behind, and may find vectors that were removed meanwhile. The index therefore keeps the changes after
the engine's position: an exact overlay of the new vectors, and the removed rows. An answer has both parts.
"""

from typing import Final, Protocol

import numpy as np

from tandem_gateway.index.base import SEARCH_EFFORT
from tandem_gateway.index.filtered import are_among
from tandem_gateway.index.findable import Candidates, check_vectors
from tandem_gateway.index.overlay import ExactOverlay
from tandem_gateway.ports.vector_engine import MAX_COUNT, VectorEngine
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.engines import EngineSpace, EngineState

# Extra rows to request: an engine orders near ties by less precise scores than the gateway.
_SPARE: Final = 32
# If removed rows fill an engine's answer, the search requests this many times as many.
_WIDEN: Final = 4
# Rows to request for each row that is needed on average, because the rows that match are not spread evenly.
_SLACK: Final = 2.0


class SearchedIndex(Protocol):
    """What follows the changes of a space and finds the candidates of queries; see ``FindableIndex``."""

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        ...

    def __len__(self) -> int:
        """Return the number of vectors."""
        ...

    @property
    def new(self) -> int:
        """Number of vectors after the base was built, or the engine was updated."""
        ...

    @property
    def exact(self) -> int:
        """Number of vectors that each query is compared with one by one."""
        ...

    @property
    def strays(self) -> int:
        """Number of nodes that the first graph does not find."""
        ...

    @property
    def unproven(self) -> int:
        """See ``Sweep.unproven``."""
        ...

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors."""
        ...

    def remove(self, keys: Keys) -> int:
        """Remove keys and return how many of them the index held."""
        ...

    def keys(self) -> Keys:
        """Return every live key."""
        ...

    def search(self, queries: Vectors, top_k: int, *, effort: int = SEARCH_EFFORT) -> list[Candidates]:
        """Return the candidates of each query."""
        ...

    def search_among(self, query: Vectors, top_k: int, among: Keys) -> Candidates:
        """Return candidates of a query among given rows."""
        ...


class EngineIndex:
    """Implements ``SearchedIndex``; one thread at a time may use it. See the module.

    ``search``, ``search_among`` and ``keys`` raise StorageUnavailable if the engine does not answer.
    """

    def __init__(self, engine: VectorEngine, space: EngineSpace, state: EngineState) -> None:
        """Search a generation; the caller then applies the changes after its position."""
        self._engine = engine
        self._space = space
        self._state = state
        self._overlay = ExactOverlay(space.dim)
        self._removed: set[int] = set()

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._space.dim

    def __len__(self) -> int:
        """Return the number of vectors, with those removed since the engine's position.

        Too small a number would make searches request too few. Whether the engine had a removed row is not known.
        """
        return self._state.count + len(self._overlay)

    @property
    def new(self) -> int:
        """Number of vectors after the engine's position."""
        return len(self._overlay)

    @property
    def exact(self) -> int:
        """Number of vectors that each query is compared with one by one."""
        return len(self._overlay)

    @property
    def strays(self) -> int:
        """Not known of an engine: 0."""
        return 0

    @property
    def unproven(self) -> int:
        """Not known of an engine: 0."""
        return 0

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors; see ``FindableIndex.add``."""
        check_vectors(keys, vectors, self.dim)
        self._overlay.add(keys, vectors)

    def remove(self, keys: Keys) -> int:
        """Remove keys. Return how many of them the index may have held: the engine is not asked."""
        for key in keys.tolist():
            # The engine may be ahead of the position, and have a row that the overlay has.
            self._overlay.remove(key)
            self._removed.add(key)
        return len(keys)

    def keys(self) -> Keys:
        """Return every live key, ``(n,) uint64``, in no particular order."""
        pages = [*self._engine.keys(self._space, self._state), self._overlay.keys()]
        found: Keys = np.unique(np.concatenate(pages))
        return found[~np.isin(found, np.fromiter(self._removed, np.uint64, len(self._removed)))]

    def search(self, queries: Vectors, top_k: int, *, effort: int = SEARCH_EFFORT) -> list[Candidates]:
        """Return the candidates of each query; see ``FindableIndex.search``. The engine has an effort of its own."""
        if not len(queries):
            return []
        exact = self._overlay.search(queries, top_k)
        count = min(top_k + _SPARE, MAX_COUNT)
        found = [self._live(rows) for rows in self._engine.search(self._space, self._state, queries, count)]
        if self._removed:
            for place in range(len(found)):
                asked = count
                while len(found[place]) < top_k and asked < min(MAX_COUNT, self._state.count):
                    asked = min(asked * _WIDEN, MAX_COUNT)
                    (more,) = self._engine.search(self._space, self._state, queries[place : place + 1], asked)
                    found[place] = self._live(more)
        return [
            Candidates(list(dict.fromkeys([*keys.tolist(), *rows])), {}, None, top_k)
            for (keys, _), rows in zip(exact, found, strict=True)
        ]

    def search_among(self, query: Vectors, top_k: int, among: Keys) -> Candidates:
        """Return candidates of a query among given rows; see ``FindableIndex.search_among``."""
        keys, _ = self._overlay.search_some(query, top_k, are_among(self._overlay.keys(), among))
        rows = self._rows_among(query, top_k, among)
        return Candidates(list(dict.fromkeys([*keys.tolist(), *rows])), {}, None, top_k)

    def _rows_among(self, query: Vectors, top_k: int, among: Keys) -> dict[int, float]:
        """Return the engine's nearest live rows among others.

        If many rows match, the engine finds more rows than needed, of which those that match remain. Otherwise it
        gets the rows that match, in parts that it takes.
        """
        wanted = top_k + _SPARE
        for asked in counts_to_ask(len(among), self._state.count, wanted):
            (found,) = self._engine.search(self._space, self._state, query[None], asked)
            rows = np.fromiter(found, np.uint64, len(found))
            kept = self._live({key: found[key] for key in rows[are_among(rows, among)].tolist()})
            if len(kept) >= top_k:
                return kept
        if self._removed:
            removed = np.fromiter(sorted(self._removed), np.uint64, len(self._removed))
            among = among[~are_among(among, removed)]
        merged: dict[int, float] = {}
        for start in range(0, len(among), MAX_COUNT):
            part = among[start : start + MAX_COUNT]
            (found,) = self._engine.search(self._space, self._state, query[None], min(wanted, MAX_COUNT), part)
            merged |= found
        nearest = sorted(merged, key=lambda key: -merged[key])[:wanted]
        return {key: merged[key] for key in nearest}

    def _live(self, rows: dict[int, float]) -> dict[int, float]:
        if not self._removed:
            return rows
        return {key: score for key, score in rows.items() if key not in self._removed}


def counts_to_ask(matching: int, total: int, wanted: int) -> list[int]:
    """Return how many rows of all an engine should find, in one attempt after the other, so that ``wanted`` match.

    Args:
        matching: number of rows that match a filter.
        total: number of rows in the engine.
        wanted: number of matching rows that are needed, at least 1.

    Returns:
        Ascending counts, each at most ``MAX_COUNT``. None at all if the engine should rather get the rows that match.
    """
    if matching <= MAX_COUNT:
        return []
    first = int(_SLACK * wanted * max(1.0, total / matching)) + 1
    return [count for count in (first, first * _WIDEN) if count <= MAX_COUNT]
