"""Load balancing: pure functions that take the random numbers as arguments.

The balancer draws two replicas at random and picks the one with fewer calls in flight (Mitzenmacher, "The Power of Two
Choices in Randomized Load Balancing", 1996). This is nearly as even as comparing all replicas. It also keeps several
gateways from choosing the same replica. Queries and documents count separately, because an embedder prefers queries:
the balancer compares calls in the same lane first.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class Replica(Protocol):
    """The properties of a replica that the balancer uses."""

    @property
    def ejected_since(self) -> float:
        """Time of its ejection; seconds of the monotonic clock."""
        ...

    def may_have(self, fingerprint: str, now: float) -> bool:
        """Return whether it has, or may have, the model with this fingerprint."""
        ...

    def has(self, fingerprint: str, now: float) -> bool:
        """Return whether it is known to have the model with this fingerprint."""
        ...


R = TypeVar("R", bound=Replica)
T = TypeVar("T")


def candidates(
    serving: Sequence[R], ejected: Sequence[R], *, fingerprint: str | None, tried: R | None, now: float
) -> Sequence[R]:
    """Return the replicas to choose from; empty only if the pool has no replica besides ``tried``.

    Args:
        serving: replicas in rotation.
        ejected: replicas out of rotation.
        fingerprint: preferred model; None if any model will do.
        tried: replica that has already failed at this call.
        now: seconds of the monotonic clock.

    Returns:
        The serving replicas that may have the model or, if there are none, all serving replicas. If none serves, the
        replica that was ejected first: a call to it may fail, but without a call the request certainly fails.
    """
    found = serving if tried is None else [replica for replica in serving if replica is not tried]
    if found:
        if fingerprint is None:
            return found
        return [replica for replica in found if replica.may_have(fingerprint, now)] or found
    rest = [replica for replica in ejected if replica is not tried]
    return [min(rest, key=lambda replica: replica.ejected_since)] if rest else []


def having(serving: Sequence[R], *, fingerprint: str, tried: R, now: float) -> Sequence[R]:
    """Return the serving replicas, other than ``tried``, that are known to have the model."""
    return [replica for replica in serving if replica is not tried and replica.has(fingerprint, now)]


def choose(among: Sequence[T], load: Callable[[T], tuple[int, int]], first: float, second: float) -> T:
    """Draw two replicas and return the less loaded one.

    Args:
        among: at least one replica.
        load: returns a replica's calls in flight, in the call's own lane and in the other lane.
        first: random number from 0 to 1, 1 excluded.
        second: another such number.
    """
    count = len(among)
    if count == 1:
        return among[0]
    one = int(first * count)
    other = int(second * (count - 1))
    a, b = among[one], among[other + (other >= one)]
    return b if load(b) < load(a) else a
