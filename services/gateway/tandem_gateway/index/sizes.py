"""What the index of a collection holds, and the memory that it takes."""

from typing import Final

from tandem_gateway.index.followed import FollowedIndex
from tandem_gateway.records.sizes import IndexPosition

_NODE_BYTES: Final = 200
"""Memory of a graph's node without its vector: its links, its key and its place in the table of keys."""
_ROW_BYTES: Final = 16
"""Memory of a vector's key in the exact part."""
_GRAPH_VALUE_BYTES: Final = 2
_EXACT_VALUE_BYTES: Final = 4


def position_of(followed: FollowedIndex, reached: int) -> IndexPosition:
    """Return what an index holds.

    Args:
        followed: the index.
        reached: every index has all changes up to this one.
    """
    index, position = followed.index, followed.position
    in_graphs = max(0, len(index) - index.new)
    return IndexPosition(
        passages=len(index),
        bytes=in_graphs * (index.dim * _GRAPH_VALUE_BYTES + _NODE_BYTES)
        + index.exact * (index.dim * _EXACT_VALUE_BYTES + _ROW_BYTES),
        added=max(position.added, reached),
        removed=max(position.removed, reached),
    )
