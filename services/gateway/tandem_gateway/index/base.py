"""The part of an index that is built once and then only read: graphs, and what has to be known beside them.

A base is made by ``builder`` and never changes while it is searched. Every vector in it was searched for after it was
added, by the search that queries use. A vector that a graph does not find is a *stray*: it goes to the second graph,
which holds only strays, and if that does not find it either, into the base's exact part. So each live vector is found
by one of the three. Nothing that is added later can change that, since later vectors go into an overlay beside the
base; and a deletion only takes a row out of the answers, never a node out of a graph.
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
"""The same of the second graph, which has few of the nodes. Both are the same for all lists of up to 64 hits (and the
32 spare ones that ``findable`` asks for), or a shorter list would not be the beginning of a longer one."""
CHECK_EFFORT = 48
"""The same while it is tried whether a graph finds a vector: half, so that it is still found when more were added."""
CHECK_COUNT = 8
"""A vector counts as found if it is among so many results: the exact scores then put it first."""


@dataclass(slots=True)
class Sweep:
    """How far the vectors of the first graph were searched for again; see ``builder``."""

    next_key: int = 0
    """The sweep goes on with the first key that is not less."""
    added: int = 0
    """Nodes ever added to the graph."""
    added_at_begin: int = 0
    """``added`` when the sweep under way began."""
    proven: int = 0
    """``added`` when the last complete sweep began: all nodes were found among that many."""

    @property
    def unproven(self) -> int:
        """Nodes added since each node was last searched for; 0 means that every vector is proven to be found."""
        return self.added - self.proven


@dataclass(slots=True)
class Base:
    """See the module.

    Attributes:
        graphs: one, or two: of all vectors, and of those that the first does not find.
        strays: rows whose vectors no graph finds.
        stray_nodes: the nodes of those vectors.
        groups: node → rows that have the node's vector, the node's own row among them, ascending. Only nodes that
            stand for more than one row are here: many nodes for equal vectors would hide their neighbours.
        dead: rows in the base that were deleted.
        cells: hash of each node's vector, see ``builder``, in the order of ``cell_nodes``.
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
    """Row → node, for rows whose node has another row's number."""

    def __post_init__(self) -> None:
        self.node_of = {row: node for node, rows in self.groups.items() for row in rows if row != node}

    @property
    def rows(self) -> int:
        """Rows in the base, those that were deleted included."""
        return len(self.graphs[0]) + len(self.node_of)

    @property
    def live(self) -> int:
        """Rows in the base that were not deleted."""
        return self.rows - len(self.dead)

    def holds(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return which of the rows are in the base, deleted ones included."""
        held = self.graphs[0].contains(keys)
        if self.node_of:
            held |= np.fromiter((key in self.node_of for key in keys.tolist()), np.bool_, len(keys))
        return held

    def live_rows(self, node: int, most: int | None = None) -> Sequence[int]:
        """Return the rows of a node that were not deleted, ascending, and at most so many."""
        rows = self.groups.get(node)
        if rows is None:
            return () if node in self.dead else (node,)
        return list(islice((row for row in rows if row not in self.dead), most))

    def live_keys(self) -> Keys:
        """Return every row that was not deleted, in no order."""
        keys = np.concatenate([self.graphs[0].keys(), np.fromiter(self.node_of, np.uint64, len(self.node_of))])
        if not self.dead:
            return keys
        return keys[~np.isin(keys, np.fromiter(self.dead, np.uint64, len(self.dead)))]
