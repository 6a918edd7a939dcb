"""Draws the calls of the canary: pure functions that take the random number as an argument."""


def drawn(percent: int, draw: float) -> bool:
    """Return true for ``percent`` % of all draws; ``draw`` is a random number from 0 to 1, 1 excluded."""
    return draw * 100 < percent


def capacity(stable: int, canary: int, weight: int) -> int:
    """Return the number of replicas by which to multiply a per-replica limit on calls, at least 1.

    With this number, neither pool gets more calls than its own replicas may have.

    Args:
        stable: number of replicas in the stable pool, at least 1.
        canary: number of replicas in the canary pool, at least 1.
        weight: percentage of the calls that go to the canary.
    """
    if weight == 0:
        return stable
    if weight == 100:
        return canary
    return max(1, min(stable * 100 // (100 - weight), canary * 100 // weight))
