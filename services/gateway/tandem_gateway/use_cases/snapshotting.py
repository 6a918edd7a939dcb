"""When to build and save indexes: a pure function of what has changed and how long ago it was tried."""

from dataclasses import dataclass

# After a try even many changes wait a little, so that a steady flood does not save without a pause.
_SHORTEST_SHARE = 1 / 30
# A large graph is proven in parts, one a run.
_UNPROVEN_SHARE = 1 / 10


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """Save once so many vectors are new in a collection, or after so many seconds if anything changed."""

    new: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What a collection's snapshot does not have.

    Attributes:
        changes: since the snapshot.
        new: vectors that each query is compared with one by one, because no graph has them yet.
        unproven: additions to the graph since each of its vectors was last searched for.
    """

    changes: int
    new: int
    unproven: int


def is_due(unsaved: list[Unsaved], seconds_since: float, policy: SnapshotPolicy) -> bool:
    """Return whether a snapshot is due.

    Args:
        unsaved: of each collection.
        seconds_since: the last try.
        policy: see ``SnapshotPolicy``.
    """
    if any(each.new >= policy.new for each in unsaved):
        return seconds_since >= policy.seconds * _SHORTEST_SHARE
    if any(each.unproven for each in unsaved):
        return seconds_since >= policy.seconds * _UNPROVEN_SHARE
    return seconds_since >= policy.seconds and any(each.changes > 0 for each in unsaved)
