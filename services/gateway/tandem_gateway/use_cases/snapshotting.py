"""When to save the index: a pure function of how much has changed and how long ago it was saved."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """Save after so many changes, or after so many seconds if there was any."""

    changes: int
    seconds: float


def is_due(changes: int, seconds_since: float, policy: SnapshotPolicy) -> bool:
    """Return whether a snapshot is due.

    Args:
        changes: since the last snapshot.
        seconds_since: the last try.
        policy: see ``SnapshotPolicy``.
    """
    if changes <= 0:
        return False
    # Right after a try even many changes wait a little, so that a steady flood does not save without pause.
    return seconds_since >= policy.seconds or (changes >= policy.changes and seconds_since >= policy.seconds / 10)
