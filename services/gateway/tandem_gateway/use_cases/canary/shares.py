"""Where a call goes: pure, with the random number as an argument."""


def drawn(percent: int, draw: float) -> bool:
    """Return whether a call is among ``percent`` of a hundred; ``draw`` is from 0 to 1, 1 excluded."""
    return draw * 100 < percent


def capacity(stable: int, canary: int, weight: int) -> int:
    """Return how many replicas' worth of calls may be in flight, 1 at the least.

    So many that neither pool has more than its replicas' share of them.

    Args:
        stable: replicas of the stable pool, 1 at the least.
        canary: the same of the canary.
        weight: percent of the calls that the canary gets.
    """
    if weight == 0:
        return stable
    if weight == 100:
        return canary
    return max(1, min(stable * 100 // (100 - weight), canary * 100 // weight))
