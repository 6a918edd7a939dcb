"""The base: the part of an index that is built once and then only read. It holds the graphs and their bookkeeping.

``builder`` makes a base, which never changes while it is searched. The builder searches for every vector after it adds
it, with the search that queries use. A vector that the first graph does not find is an unreachable vector (*stray*).
Strays go into the second graph, which holds nothing else. A stray that the second graph does not find either goes into
the base's exact part. So one of the three finds each live vector.

Later changes cannot break this. Later vectors go into an overlay beside the base. A deletion only removes a row from
the answers, never a node from a graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from tandem_gateway.index.overlay import ExactOverlay
from tandem_gateway.ports.index import Graph
from tandem_gateway.records.arrays import Keys

SEARCH_EFFORT = 112
"""Candidates that a graph keeps while it answers a query; see ``Graph.search``."""
SECOND_EFFORT = 96
"""The same for the second graph, which has few of the nodes. Both are constant for all lists of up to 64 hits, plus the
32 spare nodes that ``findable`` requests. Otherwise a shorter list would not be a prefix of a longer one."""
CHECK_EFFORT = 48
"""The same for the check that a graph finds a vector: half, so that queries still find it after later additions."""
CHECK_COUNT = 8
"""A vector counts as found if it is among this many results: the exact scores then put it first."""


@dataclass(slots=True)
class Sweep:
    """Progress of the sweep, which searches for the vectors of the first graph again; see ``builder``."""

    next_key: int = 0
    """The sweep continues with the first key that is at least this."""
    added: int = 0
    """Nodes ever added to the graph."""
    added_at_begin: int = 0
    """``added`` when the current sweep began."""
    proven: int = 0
    """``added`` when the last complete sweep began: the sweep proved that a graph of this many nodes finds them all."""

    @property
    def unproven(self) -> int:
        """Nodes added since the last proof of all nodes; 0 means that every vector is proven to be found."""
        return self.added - self.proven


@dataclass(slots=True)
class Base:
    """The graphs of an index and their bookkeeping; see the module.

    Attributes:
        graphs: one or two: all vectors, and the strays (vectors that the first graph does not find).
        strays: rows whose vectors no graph finds.
        stray_nodes: the nodes of those vectors.
        groups: node → rows with the node's vector, ascending, including the node's own row. Only nodes with more
            than one row are here. One node for each of many equal vectors would hide their neighbours.
        dead: deleted rows of the base.
        cells: hash of each node's vector, in the order of ``cell_nodes``; see ``builder``.
        sweep: see ``Sweep``.
    """

    graphs: list[Graph]
    strays: ExactOverlay
    stray_nodes: set[int] = field(default_factory=set)
    groups: dict[int, list[int]] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    cells: Keys = field(default_factory=lambda: np.empty(0, np.uint64))
    cell_nodes: Keys = field(default_factory=lambda: np.empty(0, np.uint64))
    sweep: Sweep = field(default_factory=Sweep)
    node_of: dict[int, int] = field(init=False)
    """Row → node, for rows that share another row's node."""

    def __post_init__(self) -> None:
        self.node_of = {row: node for node, rows in self.groups.items() for row in rows if row != node}

    @property
    def rows(self) -> int:
        """Rows in the base, including deleted ones."""
        return len(self.graphs[0]) + len(self.node_of)

    @property
    def live(self) -> int:
        """Rows in the base, without deleted ones."""
        return self.rows - len(self.dead)

    def holds(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return which of the rows are in the base, including deleted ones: ``(n,) bool``."""
        held = self.graphs[0].contains(keys)
        if self.node_of:
            held |= np.fromiter((key in self.node_of for key in keys.tolist()), np.bool_, len(keys))
        return held

    def live_rows(self, node: int, most: int | None = None) -> Sequence[int]:
        """Return the live rows of a node, ascending, at most ``most`` of them."""
        rows = self.groups.get(node)
        if rows is None:
            return () if node in self.dead else (node,)
        return list(islice((row for row in rows if row not in self.dead), most))

    def live_keys(self) -> Keys:
        """Return every live row, ``(n,) uint64``, in no particular order."""
        keys = np.concatenate([self.graphs[0].keys(), np.fromiter(self.node_of, np.uint64, len(self.node_of))])
        if not self.dead:
            return keys
        return keys[~np.isin(keys, np.fromiter(self.dead, np.uint64, len(self.dead)))]
