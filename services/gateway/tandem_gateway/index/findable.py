"""A collection's index: a read-only base of graphs, and an exact overlay with all later vectors.

A search for a live vector ranks that vector first, or tied with its equals. See ``base`` for why.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from tandem_gateway.index.base import SEARCH_EFFORT, SECOND_EFFORT, Base
from tandem_gateway.index.filtered import are_among, nodes_to_find, scanned, wider
from tandem_gateway.index.overlay import ExactOverlay
from tandem_gateway.ports.index import Graph
from tandem_gateway.records.arrays import Keys, Vectors

# A graph compares vectors in float16. Its scores differ from the exact scores by less than this; measured mean: 2e-5.
_GRAPH_MARGIN: Final = 3e-4
# Extra nodes to request, because a graph does not order near ties exactly.
_SPARE_NODES: Final = 32
# If deleted rows fill a graph's answer, the search requests this many times as many nodes.
_WIDEN: Final = 4


class Candidates(NamedTuple):
    """Rows that may be among a query's nearest; the caller scores them exactly.

    Attributes:
        keys: of the rows, in no particular order.
        alike: row → the first candidate with an equal vector, for rows that have one. The two rows tie.
        vectors: of the rows, ``(n, dim) float32``; None if the index holds some of them only approximately.
        requested: the candidates include so many of the nearest rows, or all rows if there are fewer.
    """

    keys: list[int]
    alike: dict[int, int]
    vectors: Vectors | None = None
    requested: int = 0


class FindableIndex:
    """Searches the base and the overlay; one thread at a time may use it. See the module."""

    def __init__(self, dim: int, base: Base | None = None) -> None:
        """Make the index of a base, or an empty index if there is none."""
        self._base = base
        self._overlay = ExactOverlay(dim)
        self._new = 0
        if base is not None and len(base.strays):
            keys = base.strays.keys()
            self._overlay.add(keys, base.strays.vectors(keys.tolist()))

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._overlay.dim

    def __len__(self) -> int:
        return self._new + (self._base.live if self._base is not None else 0)

    @property
    def new(self) -> int:
        """Number of vectors added after the base was built."""
        return self._new

    @property
    def exact(self) -> int:
        """Number of vectors that each query is compared with one by one."""
        return len(self._overlay)

    @property
    def strays(self) -> int:
        """Number of nodes in the base that its first graph does not find."""
        if self._base is None:
            return 0
        return len(self._base.stray_nodes) + sum(map(len, self._base.graphs[1:]))

    @property
    def unproven(self) -> int:
        """See ``Sweep.unproven``."""
        return self._base.sweep.unproven if self._base is not None else 0

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors; a key that the index already holds keeps its vector.

        Args:
            keys: ``(n,) uint64``; the caller never adds a removed key again.
            vectors: ``(n, dim) float32``, rows of unit length.

        Raises:
            ValueError: for another shape or numbers that are not finite.
        """
        check_vectors(keys, vectors, self.dim)
        if self._base is not None and len(keys):
            new = ~self._base.holds(keys)
            keys, vectors = keys[new], vectors[new]
        self._new += self._overlay.add(keys, vectors)

    def remove(self, keys: Keys) -> int:
        """Remove keys and return how many of them the index held."""
        if not len(keys):
            return 0
        in_base = self._base.holds(keys) if self._base is not None else np.zeros(len(keys), np.bool_)
        removed = 0
        for key, held in zip(keys.tolist(), in_base.tolist(), strict=True):
            was_exact = self._overlay.remove(key)
            if held:
                assert self._base is not None
                removed += key not in self._base.dead
                self._base.dead.add(key)
            elif was_exact:
                removed += 1
                self._new -= 1
        return removed

    def keys(self) -> Keys:
        """Return every live key, ``(n,) uint64``, in no particular order."""
        exact = self._overlay.keys()
        if self._base is None:
            return exact
        return np.concatenate([self._base.live_keys(), exact[~self._base.holds(exact)]])

    def search(self, queries: Vectors, top_k: int, *, effort: int = SEARCH_EFFORT) -> list[Candidates]:
        """Return the candidates of each query; they include its nearest ``top_k`` rows.

        Args:
            queries: ``(m, dim) float32``, rows of unit length.
            top_k: at least 1.
            effort: see ``Graph.search``; lower values find fewer of the nearest rows.
        """
        if not len(queries):
            return []
        exact = self._overlay.search(queries, top_k)
        if self._base is None or not self._base.live:
            lists = [keys.tolist() for keys, _ in exact]
            return [Candidates(rows, {}, self._overlay.vectors(rows), top_k) for rows in lists]
        efforts = (effort, min(effort, SECOND_EFFORT))
        found = [
            self._nodes(graph, queries, top_k, effort)
            for graph, effort in zip(self._base.graphs, efforts, strict=False)
        ]
        return [
            self._merge(
                [nodes[place] for nodes in found], dict(zip(keys.tolist(), scores.tolist(), strict=True)), top_k
            )
            for place, (keys, scores) in enumerate(exact)
        ]

    def search_among(self, query: Vectors, top_k: int, among: Keys) -> Candidates:
        """Return candidates of a query among given rows; they include the nearest ``top_k`` of these rows.

        Args:
            query: ``(dim,) float32`` of unit length.
            top_k: at least 1.
            among: rows, ``(n,) uint64``, ascending; those that the index does not hold are skipped.
        """
        keys, scores = self._overlay.search_some(query, top_k, are_among(self._overlay.keys(), among))
        if self._base is None or not self._base.live:
            return Candidates(keys.tolist(), {}, self._overlay.vectors(keys.tolist()), top_k)
        exact = dict(zip(keys.tolist(), scores.tolist(), strict=True))
        found = self._nodes_among(self._base, query, top_k, among)
        if found is None:
            found = [scanned(self._base, query, among)]
        return self._merge(found, exact, top_k, among)

    def _nodes_among(self, base: Base, query: Vectors, top_k: int, among: Keys) -> list[dict[int, float]] | None:
        """Return the nearest nodes that have a live row among others, from each graph; None if a scan is better."""
        wanted = top_k + _SPARE_NODES
        nodes = nodes_to_find(len(among), len(self), wanted)
        while nodes is not None:
            found = []
            for graph, effort in zip(base.graphs, (SEARCH_EFFORT, SECOND_EFFORT), strict=False):
                count = min(nodes, len(graph))
                (near,) = graph.search(query[None], count, max(effort, count))
                found.append(self._nodes_with_rows(near, among))
            if len(found[0]) >= wanted:
                return found
            nodes = wider(nodes, len(found[0]), wanted, len(among))
        return None

    def _nodes_with_rows(self, nodes: dict[int, float], among: Keys) -> dict[int, float]:
        """Return the nodes that have a live row among others."""
        assert self._base is not None
        groups, dead = self._base.groups, self._base.dead
        held = are_among(np.fromiter(nodes, np.uint64, len(nodes)), among).tolist()
        return {
            node: score
            for (node, score), is_held in zip(nodes.items(), held, strict=True)
            if (self._rows_among(node, 1, among) if node in groups else is_held and node not in dead)
        }

    def _rows_among(self, node: int, most: int, among: Keys) -> list[int]:
        """Return the live rows of a node that are among others, ascending, at most ``most`` of them."""
        assert self._base is not None
        rows = self._base.live_rows(node)
        kept = are_among(np.array(rows, np.uint64), among)
        return [row for row, held in zip(rows, kept.tolist(), strict=True) if held][:most]

    def _nodes(self, graph: Graph, queries: Vectors, top_k: int, effort: int) -> list[dict[int, float]]:
        """Return each query's nearest nodes that have a live row, with their scores."""
        assert self._base is not None
        count = top_k + _SPARE_NODES
        effort = max(effort, count)
        found = [self._live(nodes) for nodes in graph.search(queries, count, effort)]
        if self._base.dead:
            for place in range(len(found)):
                asked = count
                while len(found[place]) < top_k and asked < len(graph):
                    asked *= _WIDEN
                    (wider,) = graph.search(queries[place : place + 1], asked, effort)
                    found[place] = self._live(wider)
        return found

    def _live(self, nodes: dict[int, float]) -> dict[int, float]:
        assert self._base is not None
        if not self._base.dead:
            return nodes
        return {node: score for node, score in nodes.items() if self._base.live_rows(node, 1)}

    def _merge(
        self,
        graphs: Sequence[dict[int, float]],
        exact: dict[int, float],
        top_k: int,
        among: Keys | None = None,
    ) -> Candidates:
        """Return the candidates of nodes and exact rows, with their scores; only rows ``among`` others if given."""
        assert self._base is not None
        nodes = {node: score for found in graphs for node, score in found.items() if node not in exact}
        scores = sorted([*nodes.values(), *exact.values()], reverse=True)
        least = scores[top_k - 1] - 2 * _GRAPH_MARGIN if len(scores) > top_k else -2.0
        keys = dict.fromkeys(exact)
        alike: dict[int, int] = {}
        for node, score in nodes.items():
            if score < least:
                continue
            rows = self._base.live_rows(node, top_k) if among is None else self._rows_among(node, top_k, among)
            keys.update(dict.fromkeys(rows))
            for row in rows[1:]:
                alike[row] = rows[0]
        return Candidates(list(keys), alike, None, top_k)


def check_vectors(keys: Keys, vectors: Vectors, dim: int) -> None:
    """Check vectors before they are added.

    Raises:
        ValueError: if the shape is not ``(len(keys), dim)``, or a number is not finite.
    """
    if vectors.shape != (len(keys), dim):
        raise ValueError(f"vectors are {vectors.shape}, not {(len(keys), dim)}")
    if not np.isfinite(vectors).all():
        raise ValueError("a vector holds numbers that are not finite")
