"""When to build and save indexes: a pure function of the unsaved changes and the time since the last try."""

from dataclasses import dataclass

# Pause after a try, even if many vectors are new. Without it, a steady stream of changes would save without a pause.
_SHORTEST_SHARE = 1 / 30
# Pause while a graph has unproven additions: each run checks only a part of a large graph.
_UNPROVEN_SHARE = 1 / 10


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """Save once a collection has ``new`` new vectors, or after ``seconds`` if anything changed."""

    new: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Unsaved:
    """The state of a collection that its snapshot does not cover.

    Attributes:
        changes: number of changes since the snapshot.
        new: vectors that no graph has yet, so that each query is compared with them one by one.
        unproven: additions to the graph since a sweep last proved that a search finds each of its vectors.
    """

    changes: int
    new: int
    unproven: int


def is_due(unsaved: list[Unsaved], seconds_since: float, policy: SnapshotPolicy) -> bool:
    """Return whether a snapshot is due.

    Args:
        unsaved: one entry per collection.
        seconds_since: seconds since the last try.
        policy: see ``SnapshotPolicy``.
    """
    if any(each.new >= policy.new for each in unsaved):
        return seconds_since >= policy.seconds * _SHORTEST_SHARE
    if any(each.unproven for each in unsaved):
        return seconds_since >= policy.seconds * _UNPROVEN_SHARE
    return seconds_since >= policy.seconds and any(each.changes > 0 for each in unsaved)
