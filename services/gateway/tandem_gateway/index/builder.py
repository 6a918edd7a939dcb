"""Builds the base of an index: adds vectors to its graphs and proves that a search finds each of them.

An HNSW graph can lose vectors that it holds, for three reasons. The builder handles each of them:

- *Equal vectors.* A search keeps a limited number of candidates. A hundred copies of one vector fill them and hide the
  vectors around them. The builder therefore gives equal vectors one node, which stands for all their rows.
- *A vector that the graph never finds.* When the graph adds a node, its neighbours may keep no link to it. The builder
  therefore searches for each new vector at once.
- *A vector that the graph no longer finds.* Later nodes take over links. The sweep therefore searches for all vectors
  again: the whole graph if it is small, else a part of it after each addition.

A vector that the first graph does not find becomes a stray; see ``base``. Deleted rows stay as nodes, because a search
finds its way through them. When too many rows are deleted, the base is rebuilt without them.
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
    """Minimum numbers of vectors for a graph.

    Attributes:
        graph: minimum for the first graph. Comparing a query with fewer vectors takes no longer and misses nothing.
        second_graph: minimum number of strays for the second graph.
    """

    graph: int = 5_000
    second_graph: int = 4_096


_MAX_DEAD_SHARE: Final = 0.25
_MIN_DEAD: Final = 1_000
_BLOCK: Final = 500
# Step of the grid; vectors in one cell are candidates for equality.
_CELL: Final = 1 / 1024
# Maximum squared distance of equal vectors. Two embeddings of one text differ by about 1e-15; a vector and its float16
# copy differ by about 2e-8.
_EQUAL: Final = 1e-6


DEFAULT_SIZES: Final = Sizes()

ExactVectors = Callable[[Sequence[int]], Mapping[int, Vectors]]
"""Row numbers → vectors, each ``(dim,) float32``; rows that the store does not have are missing."""


def needs_rebuild(dead: int, rows: int) -> bool:
    """Return whether deleted rows slow search down: more than a quarter of the base, and at least 1,000."""
    return dead >= _MIN_DEAD and dead > _MAX_DEAD_SHARE * rows


class BaseBuilder:
    """Adds vectors to a base. One thread uses it, and nothing may search the base meanwhile."""

    def __init__(
        self,
        dim: int,
        factory: GraphFactory,
        base: Base | None = None,
        *,
        sizes: Sizes,
        exact_vectors: ExactVectors | None = None,
    ) -> None:
        """Continue a base, or begin a new one if there is none.

        Args:
            dim: length of the vectors.
            factory: makes graphs.
            base: the base to continue; its graphs must be writable.
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
        # Nodes by the cell of their vector: the given base's nodes in order of their cells, and new nodes.
        order = np.argsort(base.cells, kind="stable") if base is not None else np.empty(0, np.intp)
        self._cells = base.cells[order] if base is not None else np.empty(0, np.uint64)
        self._cell_nodes = base.cell_nodes[order] if base is not None else np.empty(0, np.uint64)
        self._new_cells: dict[int, list[int]] = {}

    @property
    def base(self) -> Base | None:
        """The base; None while there are too few vectors for a graph."""
        return self._base

    def __len__(self) -> int:
        return len(self._waiting) + (self._base.live if self._base is not None else 0)

    def needs_rebuild(self) -> bool:
        """Return whether to rebuild the base without its deleted rows."""
        return self._base is not None and needs_rebuild(len(self._base.dead), self._base.rows)

    def remove(self, keys: Keys) -> int:
        """Remove keys and return how many of them the builder held."""
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
        """Add vectors; a key that the builder already holds keeps its vector.

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
        """Search for the vectors of the first graph again, and make strays of those that it no longer finds.

        Each call continues where the last one stopped. It ends when it has searched for every vector since the last
        addition, or when the time is up.

        Args:
            seconds: time limit.
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
            if not len(block):  # the end of the graph: this sweep is complete
                sweep.proven, sweep.next_key, sweep.added_at_begin = sweep.added_at_begin, 0, sweep.added
                continue
            self._sweep_block(base, block)
            sweep.next_key = int(block[-1]) + 1

    def _sweep_block(self, base: Base, keys: Keys) -> None:
        """Search for nodes again, each in the graph that should find it; skip nodes of the exact part."""
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
        """Group vectors that equal a node's vector or each other; return the positions of the others."""
        begin, end = np.searchsorted(self._cells, cells, "left"), np.searchsorted(self._cells, cells, "right")
        own: dict[int, list[int]] = {}  # cell → positions of the vectors that get a node
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
        """Add nodes that the first graph does not find to the second graph, or to the exact part.

        Args:
            base: the base of the nodes.
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
        """Add nodes to the exact part, one entry for each of their rows, so that a deletion removes one row alone."""
        rows = {row: place for place, node in enumerate(nodes.tolist()) for row in base.live_rows(node)}
        exact = self._exact_vectors(list(rows)) if rows else {}
        for row, place in rows.items():
            base.strays.add(np.array([row], np.uint64), exact.get(row, vectors[place])[None])
        base.stray_nodes.update(nodes.tolist())


def _not_found(graph: Graph, keys: Keys, vectors: Vectors) -> tuple[Keys, Vectors]:
    """Search a graph for each of its vectors; return the keys and vectors that it does not find."""
    found = graph.search(vectors, CHECK_COUNT, CHECK_EFFORT)
    lost = np.array([key not in nodes for key, nodes in zip(keys.tolist(), found, strict=True)], np.bool_)
    return keys[lost], vectors[lost]


def _cell_multipliers(dim: int) -> Keys:
    # Odd random numbers: the sum of the products with them, modulo 2^64, is a hash of integers. The seed is fixed,
    # because snapshots contain the hashes.
    return np.random.default_rng(384).integers(0, 1 << 63, dim, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _cells(vectors: Vectors, multipliers: Keys) -> Keys:
    """Return the hash of each vector's grid cell, ``(n,) uint64``. Equal vectors nearly always have equal hashes.

    Rarely, a component lies so near to the border of two cells that noise moves it across.
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
