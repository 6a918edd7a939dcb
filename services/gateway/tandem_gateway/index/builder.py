"""Builds the base of an index: adds vectors to its graphs, and proves that each of them is found.

Three things make an HNSW graph lose vectors that it holds, and each has its answer here:

- *Equal vectors.* A search keeps only so many candidates; a hundred copies of a vector fill them, and hide what lies
  around them. Equal vectors share one node, which stands for all their rows.
- *A vector that the graph never finds.* While a node is added its neighbours may keep no link to it. Each new vector is
  therefore searched for right away.
- *A vector that is no longer found.* Nodes that are added later take over links. All vectors are searched for again,
  a part of them after each addition, all of a small graph: the sweep.

What is not found becomes a stray, see ``base``. Deleted rows stay as nodes, since a search finds its way through them,
until so many are deleted that the base is built again without them.
"""

import time
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tandem_gateway.index.base import CHECK_COUNT, CHECK_EFFORT, Base
from tandem_gateway.index.findable import check_vectors
from tandem_gateway.index.overlay import ExactOverlay
from tandem_gateway.ports.index import Graph, GraphFactory
from tandem_gateway.records.arrays import Keys, Vectors


@dataclass(frozen=True, slots=True)
class Sizes:
    """From how many vectors on there are graphs.

    Attributes:
        graph: fewer vectors get none: to compare a query with all of them takes no longer, and misses nothing.
        second_graph: so many strays get a graph of their own.
    """

    graph: int = 5_000
    second_graph: int = 4_096


_MOST_DEAD_SHARE: Final = 0.25
_LEAST_DEAD: Final = 1_000
_BLOCK: Final = 500
# Vectors whose components differ by less than this step are looked at as possibly equal.
_CELL: Final = 1 / 1024
# Squared distance of vectors that are equal: a text that is embedded twice differs by some 1e-15, and a vector from its
# own copy in float16 by some 2e-8.
_EQUAL: Final = 1e-6


DEFAULT_SIZES: Final = Sizes()

ExactVectors = Callable[[Sequence[int]], Mapping[int, Vectors]]
"""Row numbers → vectors ``(dim,) float32`` of those rows that the store has."""


def needs_rebuild(dead: int, rows: int) -> bool:
    """Return whether so many rows were deleted that search suffers: a quarter of the base, and at least 1,000."""
    return dead >= _LEAST_DEAD and dead > _MOST_DEAD_SHARE * rows


class BaseBuilder:
    """Adds to a base, which must not be searched meanwhile; used by one thread."""

    def __init__(
        self,
        dim: int,
        factory: GraphFactory,
        base: Base | None = None,
        *,
        sizes: Sizes,
        exact_vectors: ExactVectors | None = None,
    ) -> None:
        """Go on with a base whose graphs are writable; begin a new one if there is none.

        Args:
            dim: length of the vectors.
            factory: makes graphs.
            base: to go on with.
            sizes: see ``Sizes``.
            exact_vectors: returns the stored vectors of rows; a graph keeps them with less precision.
        """
        self._dim = dim
        self._factory = factory
        self._base = base
        self._sizes = sizes
        self._exact_vectors = exact_vectors or (lambda rows: {})
        self._waiting = ExactOverlay(dim)
        self._random = _cell_multipliers(dim)
        # Nodes by the cell of their vector: those that the base came with, in order of their cells, and new ones.
        order = np.argsort(base.cells, kind="stable") if base is not None else np.empty(0, np.intp)
        self._cells = base.cells[order] if base is not None else np.empty(0, np.uint64)
        self._cell_nodes = base.cell_nodes[order] if base is not None else np.empty(0, np.uint64)
        self._new_cells: dict[int, list[int]] = {}

    @property
    def base(self) -> Base | None:
        """What was built; None while there are too few vectors for a graph."""
        return self._base

    def __len__(self) -> int:
        return len(self._waiting) + (self._base.live if self._base is not None else 0)

    def needs_rebuild(self) -> bool:
        """Return whether the base should be built again, without what was deleted."""
        return self._base is not None and needs_rebuild(len(self._base.dead), self._base.rows)

    def remove(self, keys: Keys) -> int:
        """Remove keys, and return how many of them were there."""
        if not len(keys):
            return 0
        held = self._base.holds(keys).tolist() if self._base is not None else [False] * len(keys)
        removed = 0
        for key, in_base in zip(keys.tolist(), held, strict=True):
            removed += self._waiting.remove(key)
            if in_base:
                assert self._base is not None
                removed += key not in self._base.dead
                self._base.dead.add(key)
                self._base.strays.remove(key)
        return removed

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors; a key that is there already keeps the vector it has.

        Args:
            keys: ``(n,) uint64``.
            vectors: ``(n, dim) float32``, rows of unit length.

        Raises:
            ValueError: for another shape or numbers that are not finite.
        """
        check_vectors(keys, vectors, self._dim)
        if not len(keys):
            return
        if self._base is None:
            self._waiting.add(keys, vectors)
            if len(self._waiting) < self._sizes.graph:
                return
            self._base = Base([self._factory.create(self._dim)], ExactOverlay(self._dim))
            keys = np.sort(self._waiting.keys())
            vectors, self._waiting = self._waiting.vectors(keys.tolist()), ExactOverlay(self._dim)
            self._new_cells = {}
        new = ~self._base.holds(keys)
        keys, vectors = keys[new], vectors[new]
        for start in range(0, len(keys), _BLOCK):
            self._insert(self._base, keys[start : start + _BLOCK], vectors[start : start + _BLOCK])

    def sweep(self, *, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Search for the vectors of the first graph again, and make strays of those that are not found.

        Each call goes on where the last one stopped; it ends when all have been searched for since the last addition,
        or when the time is over.

        Args:
            seconds: after which it stops.
            clock: monotonic, in seconds.
        """
        base = self._base
        if base is None or not base.sweep.unproven:
            return
        until = clock() + seconds
        sweep, graph = base.sweep, base.graphs[0]
        keys = np.sort(graph.keys())
        if sweep.next_key == 0:
            sweep.added_at_begin = sweep.added
        while sweep.unproven and clock() < until:
            start = int(np.searchsorted(keys, sweep.next_key))
            block = keys[start : start + _BLOCK]
            if not len(block):  # all of them were looked at
                sweep.proven, sweep.next_key, sweep.added_at_begin = sweep.added_at_begin, 0, sweep.added
                continue
            self._sweep_block(base, block)
            sweep.next_key = int(block[-1]) + 1

    def _sweep_block(self, base: Base, keys: Keys) -> None:
        """Search for nodes again, each in the graph that is to find it; nodes of the exact part need not be."""
        known = [key in base.stray_nodes or not base.live_rows(key, 1) for key in keys.tolist()]
        keys = keys[~np.array(known, np.bool_)]
        in_second = base.graphs[1].contains(keys) if len(base.graphs) > 1 else np.zeros(len(keys), np.bool_)
        first = keys[~in_second]
        if len(first):
            self._make_strays(base, *_not_found(base.graphs[0], first, base.graphs[0].vectors(first)))
        second = keys[in_second]
        if len(second):
            self._make_exact(base, *_not_found(base.graphs[1], second, base.graphs[1].vectors(second)))

    def _insert(self, base: Base, keys: Keys, vectors: Vectors) -> None:
        """Add vectors that the base does not hold."""
        cells = _cells(vectors, self._random)
        stay = self._join_groups(base, keys, vectors, cells)
        if not stay:
            return
        keys, vectors, cells = keys[stay], vectors[stay], cells[stay]
        base.graphs[0].add(keys, vectors)
        base.cells = np.concatenate([base.cells, cells])
        base.cell_nodes = np.concatenate([base.cell_nodes, keys])
        for cell, node in zip(cells.tolist(), keys.tolist(), strict=True):
            self._new_cells.setdefault(cell, []).append(node)
        base.sweep.added += len(keys)
        self._make_strays(base, *_not_found(base.graphs[0], keys, vectors))

    def _join_groups(self, base: Base, keys: Keys, vectors: Vectors, cells: Keys) -> list[int]:
        """Put vectors that equal a node's, or each other's, into one group; return the places of the others."""
        begin, end = np.searchsorted(self._cells, cells, "left"), np.searchsorted(self._cells, cells, "right")
        own: dict[int, list[int]] = {}  # cell → places among the vectors that get a node
        stay: list[int] = []
        for place, (cell, low, high) in enumerate(zip(cells.tolist(), begin.tolist(), end.tolist(), strict=True)):
            nodes = self._cell_nodes[low:high].tolist() + self._new_cells.get(cell, [])
            node = _equal_node(base.graphs[0], nodes, vectors[place]) if nodes else None
            if node is None:
                twin = next((twin for twin in own.get(cell, ()) if _is_equal(vectors[twin], vectors[place])), None)
                if twin is None:
                    own.setdefault(cell, []).append(place)
                    stay.append(place)
                    continue
                node = int(keys[twin])
            self._join(base, node, int(keys[place]), vectors[place])
        return stay

    @staticmethod
    def _join(base: Base, node: int, row: int, vector: Vectors) -> None:
        insort(base.groups.setdefault(node, [node]), row)
        base.node_of[row] = node
        if node in base.stray_nodes:
            base.strays.add(np.array([row], np.uint64), vector[None])

    def _make_strays(self, base: Base, nodes: Keys, vectors: Vectors) -> None:
        """Keep nodes that the first graph does not find in the second graph, or in the exact part.

        Args:
            base: what they are nodes of.
            nodes: ``(n,) uint64``.
            vectors: of the nodes, ``(n, dim) float32``.
        """
        if not len(nodes):
            return
        if len(base.graphs) > 1:
            base.graphs[1].add(nodes, vectors)
            nodes, vectors = _not_found(base.graphs[1], nodes, vectors)
        self._make_exact(base, nodes, vectors)
        if len(base.graphs) == 1 and len(base.stray_nodes) >= self._sizes.second_graph:
            nodes = np.sort(np.fromiter(base.stray_nodes, np.uint64, len(base.stray_nodes)))
            base.graphs.append(self._factory.create(self._dim))
            base.strays, base.stray_nodes = ExactOverlay(self._dim), set()
            self._make_strays(base, nodes, base.graphs[0].vectors(nodes))

    def _make_exact(self, base: Base, nodes: Keys, vectors: Vectors) -> None:
        """Keep nodes in the exact part, each of their rows by itself: so each is found, and lost when it is deleted."""
        rows = {row: place for place, node in enumerate(nodes.tolist()) for row in base.live_rows(node)}
        exact = self._exact_vectors(list(rows)) if rows else {}
        for row, place in rows.items():
            base.strays.add(np.array([row], np.uint64), exact.get(row, vectors[place])[None])
        base.stray_nodes.update(nodes.tolist())


def _not_found(graph: Graph, keys: Keys, vectors: Vectors) -> tuple[Keys, Vectors]:
    """Return those of a graph's vectors that it does not find when each is searched for."""
    found = graph.search(vectors, CHECK_COUNT, CHECK_EFFORT)
    lost = np.array([key not in nodes for key, nodes in zip(keys.tolist(), found, strict=True)], np.bool_)
    return keys[lost], vectors[lost]


def _cell_multipliers(dim: int) -> Keys:
    # Odd random numbers: the sum of products with them, modulo 2^64, is a hash of integers. The seed is fixed, since
    # hashes are saved.
    return np.random.default_rng(384).integers(0, 1 << 63, dim, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _cells(vectors: Vectors, multipliers: Keys) -> Keys:
    """Return a hash of the cell of the grid that each vector lies in, ``(n,) uint64``: equal vectors have equal ones.

    Nearly always: a component may lie so near to the border of two cells that noise takes it over.
    """
    steps = np.rint(vectors / np.float32(_CELL)).astype(np.int64).astype(np.uint64)
    hashes: Keys = (steps * multipliers).sum(axis=1, dtype=np.uint64)
    return hashes


def _is_equal(one: Vectors, other: Vectors) -> bool:
    difference = one - other
    return float(difference @ difference) <= _EQUAL


def _equal_node(graph: Graph, nodes: Sequence[int], vector: Vectors) -> int | None:
    for node, known in zip(nodes, graph.vectors(np.array(nodes, np.uint64)), strict=True):
        if _is_equal(known, vector):
            return node
    return None
