"""Who is asked: pure, with the random numbers as arguments.

Of two replicas at random the one with fewer calls in flight takes the call: nearly as even as asking all of them, and
several gateways do not run after the same one (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
1996). Queries and documents are counted apart, since an embedder lets queries pass: evenness counts within a lane
first.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class Replica(Protocol):
    """What the choice looks at."""

    @property
    def ejected_since(self) -> float:
        """When it was ejected; seconds of the monotonic clock."""
        ...

    def may_have(self, fingerprint: str, now: float) -> bool:
        """Return whether it has, or may have, the model of that fingerprint."""
        ...

    def has(self, fingerprint: str, now: float) -> bool:
        """Return whether it is known to have the model of that fingerprint."""
        ...


R = TypeVar("R", bound=Replica)
T = TypeVar("T")


def candidates(
    serving: Sequence[R], ejected: Sequence[R], *, fingerprint: str | None, tried: R | None, now: float
) -> Sequence[R]:
    """Return those among whom to choose; empty only if there is nobody besides ``tried``.

    Args:
        serving: replicas that take calls.
        ejected: replicas that are left out for the moment.
        fingerprint: of the model that is wanted; None if any will do.
        tried: has failed at this call already.
        now: seconds of the monotonic clock.

    Returns:
        Of the serving ones those that may have the model, or else all. If none serves, the one that was ejected first:
        to ask it may fail, not to ask is bound to.
    """
    found = serving if tried is None else [replica for replica in serving if replica is not tried]
    if found:
        if fingerprint is None:
            return found
        return [replica for replica in found if replica.may_have(fingerprint, now)] or found
    rest = [replica for replica in ejected if replica is not tried]
    return [min(rest, key=lambda replica: replica.ejected_since)] if rest else []


def having(serving: Sequence[R], *, fingerprint: str, tried: R, now: float) -> Sequence[R]:
    """Return the serving replicas that are known to have a model."""
    return [replica for replica in serving if replica is not tried and replica.has(fingerprint, now)]


def choose(among: Sequence[T], load: Callable[[T], tuple[int, int]], first: float, second: float) -> T:
    """Return the less loaded of two.

    Args:
        among: at least one.
        load: calls in flight, of the call's own lane and of the other.
        first: a random number from 0 to 1, 1 excluded.
        second: another.
    """
    count = len(among)
    if count == 1:
        return among[0]
    one = int(first * count)
    other = int(second * (count - 1))
    a, b = among[one], among[other + (other >= one)]
    return b if load(b) < load(a) else a
