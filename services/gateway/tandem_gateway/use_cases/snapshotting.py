"""When to build and save indexes: a pure function of the unsaved changes and the time since the last try."""

from dataclasses import dataclass

# Pause after a try, even if many vectors are new. Without it, a steady stream of changes would save without a pause.
_SHORTEST_SHARE = 1 / 30
# Pause while a graph has unproven additions: each run checks only a part of a large graph.
_UNPROVEN_SHARE = 1 / 10
# A snapshot is published once this share of a collection's vectors is new.
_PUBLISHED_SHARE = 0.1


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


def shortest_pause(policy: SnapshotPolicy) -> float:
    """Return the seconds from one try to the next, if vectors are new all the time."""
    return policy.seconds * _SHORTEST_SHARE


def is_due(unsaved: list[Unsaved], seconds_since: float, policy: SnapshotPolicy) -> bool:
    """Return whether a snapshot is due.

    Args:
        unsaved: one entry per collection.
        seconds_since: seconds since the last try.
        policy: see ``SnapshotPolicy``.
    """
    if any(each.new >= policy.new for each in unsaved):
        return seconds_since >= shortest_pause(policy)
    if any(each.unproven for each in unsaved):
        return seconds_since >= policy.seconds * _UNPROVEN_SHARE
    return seconds_since >= policy.seconds and any(each.changes > 0 for each in unsaved)


@dataclass(frozen=True, slots=True)
class SharingPolicy:
    """When a builder publishes a snapshot, and when another gateway builds one for itself.

    Attributes:
        overlay: maximum number of new vectors that a gateway compares with each query while it waits for a snapshot.
        seconds: a changed snapshot is published after this time, however little has changed.
    """

    overlay: int
    seconds: float


def new_to_publish(count: int, least: int, policy: SharingPolicy) -> int:
    """Return how many new vectors make a publication due: a tenth of the collection, within limits.

    At most half of what a gateway's overlay may hold, so that gateways get the snapshot before they build one.

    Args:
        count: vectors in the published snapshot.
        least: new vectors from which a builder builds.
        policy: see ``SharingPolicy``.
    """
    return max(1, min(max(least, int(count * _PUBLISHED_SHARE)), policy.overlay // 2))


def is_publication_due(new: int, proven: bool, seconds_since: float, threshold: int, policy: SharingPolicy) -> bool:
    """Return whether to publish a snapshot that is better than the published one.

    Args:
        new: vectors in it that the published one has not.
        proven: whether it is proven that a search finds each vector, and the published one is not.
        seconds_since: seconds since the last publication.
        threshold: see ``new_to_publish``.
        policy: see ``SharingPolicy``.
    """
    return new >= threshold or proven or seconds_since >= policy.seconds


def builds_for_itself(unsaved: list[Unsaved], seconds_since: float, shortest: float, policy: SharingPolicy) -> bool:
    """Return whether a gateway that is not the builder builds its index itself, because no snapshot came in time.

    Args:
        unsaved: one entry per collection.
        seconds_since: seconds since the last try.
        shortest: pause after a try, in seconds.
        policy: see ``SharingPolicy``.
    """
    return seconds_since >= shortest and any(each.new > policy.overlay for each in unsaved)
