"""A vector engine in memory, which compares every vector: for tests, and as the model of the others."""

import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from tandem_gateway.errors import VectorsGone
from tandem_gateway.records.arrays import Keys, Vectors
from tandem_gateway.records.engines import EngineSpace, EngineState


@dataclass
class _Generation:
    state: EngineState
    vectors: dict[int, Vectors] = field(default_factory=dict)


@dataclass
class _Space:
    generations: dict[str, _Generation] = field(default_factory=dict)
    """The oldest first."""
    published: list[str] = field(default_factory=list)


class MemoryEngine:
    """Implements ``VectorEngine``."""

    def __init__(self) -> None:
        self._spaces: dict[EngineSpace, _Space] = {}

    def state(self, space: EngineSpace) -> EngineState | None:
        """Return the published generation; see ``VectorEngine.state``."""
        found = self._spaces.get(space)
        if found is None or not found.published:
            return None
        return self._generation(space, found.published[-1]).state

    def begin(self, space: EngineSpace) -> EngineState:
        """Make a generation; see ``VectorEngine.begin``."""
        state = EngineState(secrets.token_hex(8), 0, 0, 0)
        self._spaces.setdefault(space, _Space()).generations[state.generation] = _Generation(state)
        return state

    def write(
        self, space: EngineSpace, state: EngineState, added: Keys, vectors: Vectors, removed: Keys, position: int
    ) -> EngineState:
        """Add and remove vectors; see ``VectorEngine.write``."""
        generation = self._generation(space, state.generation)
        for key, vector in zip(added.tolist(), vectors, strict=True):
            generation.vectors.setdefault(key, vector.copy())
        for key in removed.tolist():
            generation.vectors.pop(key, None)
        reached = max(position, generation.state.written)
        generation.state = replace(generation.state, written=reached, visible=reached, count=len(generation.vectors))
        return generation.state

    def publish(self, space: EngineSpace, state: EngineState) -> None:
        """Publish a generation; see ``VectorEngine.publish``."""
        self._generation(space, state.generation)
        self._spaces[space].published.append(state.generation)

    def search(
        self, space: EngineSpace, state: EngineState, queries: Vectors, count: int, among: Keys | None = None
    ) -> list[dict[int, float]]:
        """Search a generation; see ``VectorEngine.search``."""
        vectors = self._generation(space, state.generation).vectors
        kept = set(vectors) if among is None else set(vectors) & set(among.tolist())
        found = []
        for query in queries:
            scores = {key: float(vectors[key] @ query) for key in kept}
            nearest = sorted(scores, key=lambda key: (-scores[key], key))[:count]
            found.append({key: scores[key] for key in nearest})
        return found

    def keys(self, space: EngineSpace, state: EngineState) -> Iterator[Keys]:
        """Yield keys; see ``VectorEngine.keys``."""
        yield np.array(list(self._generation(space, state.generation).vectors), np.uint64)

    def count(self, space: EngineSpace, state: EngineState) -> int:
        """Return the number of vectors; see ``VectorEngine.count``."""
        return len(self._generation(space, state.generation).vectors)

    def remove_orphans(self, store_id: str, spaces: Collection[int]) -> list[str]:
        """Remove what no gateway needs; see ``VectorEngine.remove_orphans``."""
        removed = []
        for space, found in list(self._spaces.items()):
            if space.store_id != store_id:
                continue
            keep = found.published[-2:] if space.space_id in spaces else []
            for name in [name for name in found.generations if name not in keep]:
                del found.generations[name]
                removed.append(f"{space.name}_{name}")
            if not found.generations:
                del self._spaces[space]
        return removed

    def close(self) -> None:
        """Do nothing."""

    def _generation(self, space: EngineSpace, generation: str) -> _Generation:
        found = self._spaces.get(space)
        if found is None or generation not in found.generations:
            raise VectorsGone
        return found.generations[generation]
