"""Which queries go out together: a pure function of the queue, the calls in flight and the clock.

Queries that arrive while calls to the embedder are in flight wait, and go out as one call when one of them returns.
Nothing waits while fewer calls are in flight than allowed: a lone query is sent at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Q]):
    """A query in the queue; ``deadline`` is in seconds of the monotonic clock."""

    query: Q
    deadline: float


@dataclass(frozen=True, slots=True)
class CoalescingLimits:
    """Queries in one call, and calls at a time."""

    batch: int
    calls: int


@dataclass(frozen=True, slots=True)
class Decision(Generic[Q]):
    """What to send now, what has run out of time, and what stays in the queue, each in order of arrival."""

    send: list[Waiting[Q]]
    expired: list[Waiting[Q]]
    rest: list[Waiting[Q]]


def decide(queue: Sequence[Waiting[Q]], calls_in_flight: int, now: float, limits: CoalescingLimits) -> Decision[Q]:
    """Return what is to be done with the queue.

    Args:
        queue: in order of arrival.
        calls_in_flight: calls that have not returned.
        now: seconds of the monotonic clock.
        limits: see ``CoalescingLimits``.
    """
    expired = [waiting for waiting in queue if waiting.deadline <= now]
    alive = [waiting for waiting in queue if waiting.deadline > now]
    if calls_in_flight >= limits.calls:
        return Decision([], expired, alive)
    return Decision(alive[: limits.batch], expired, alive[limits.batch :])
