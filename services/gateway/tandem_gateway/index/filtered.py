"""Vector search among given rows: how to search, and the scan that compares the query with each of them.

Few rows are compared with the query one by one, by the float16 vectors of the graph. If many rows match, the graph
finds more nodes than needed, of which those that match remain; see ``FindableIndex.search_among``.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from tandem_gateway.index.base import Base
from tandem_gateway.records.arrays import Keys, Vectors

# Comparing a row costs about as much as finding this many nodes in a graph.
_NODES_A_ROW: Final = 1.0
# Rows that are always few: the scan of so many is cheap, and it is exact.
_FEW_ROWS: Final = 500
# The rows that match are not spread evenly: nodes requested for each node that is needed on average.
_SLACK: Final = 1.5
_BLOCK_ROWS: Final = 4096


def nodes_to_find(matching: int, total: int, wanted: int) -> int | None:
    """Return how many nodes a graph should find so that ``wanted`` of them match, or None to compare every row.

    Args:
        matching: number of rows that match.
        total: number of rows in the index.
        wanted: number of matching rows that are needed, at least 1.
    """
    if matching <= max(_FEW_ROWS, wanted):
        return None
    nodes = int(_SLACK * wanted * max(1.0, total / matching)) + 1
    return nodes if nodes < matching * _NODES_A_ROW and nodes < total else None


def wider(nodes: int, found: int, wanted: int, matching: int) -> int | None:
    """Return how many nodes to find if ``nodes`` had only ``found`` that match, or None to compare every row."""
    more = 4 * nodes if not found else int(nodes * max(2.0, 2.0 * wanted / found))
    return more if more < matching * _NODES_A_ROW else None


def are_among(keys: Keys, among: Keys) -> npt.NDArray[np.bool_]:
    """Return which of the keys are among others, which are ascending: ``(n,) bool``."""
    if not len(among):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    found: npt.NDArray[np.bool_] = among[places] == keys
    return found


def in_both(one: Keys, other: Keys) -> Keys:
    """Return the keys that are in both: all are ascending, ``(n,) uint64``.

    It sorts nothing: a million keys take some 30 ms, and ``np.intersect1d`` takes more than a second.
    """
    few, many = (one, other) if len(one) <= len(other) else (other, one)
    return few[are_among(few, many)]


def scanned(base: Base, query: Vectors, rows: Keys) -> dict[int, float]:
    """Return the nodes of the rows that the base holds and that are not deleted, with their approximate cosines.

    Args:
        base: the base.
        query: ``(dim,) float32`` of unit length.
        rows: ``(n,) uint64``.
    """
    graph = base.graphs[0]
    found: dict[int, float] = {}
    for nodes in _blocks(base, rows):
        found.update(zip(nodes.tolist(), (graph.vectors(nodes) @ query).tolist(), strict=True))
    return found


def _blocks(base: Base, rows: Keys) -> Iterator[Keys]:
    dead = np.fromiter(base.dead, np.uint64, len(base.dead))
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        block = block[base.holds(block)]
        if len(dead):
            block = block[~np.isin(block, dead)]
        if base.node_of:
            nodes = {base.node_of.get(row, row) for row in block.tolist()}
            block = np.fromiter(nodes, np.uint64, len(nodes))
        if len(block):
            yield block
