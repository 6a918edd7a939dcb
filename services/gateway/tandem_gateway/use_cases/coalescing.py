"""Which queries go out together: a pure function of the queue, the calls in flight and the clock.

Queries that arrive while calls to the embedder are in flight wait, and go out as one call when there is room. A lone
query is sent at once. Two rules keep the calls of like size, without which they settle into one large call and a string
of calls with a single query each, and half of the embedder idle:

- a call takes no more than its share: all that waits or is in flight, divided by the calls allowed;
- while another call is in flight, less than half a share waits for company, for ``linger`` at the most. The answers to
  a call reach their clients together, whose next queries arrive together: the first of them must not leave alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

Q = TypeVar("Q")


class Waiting(msgspec.Struct, Generic[Q], frozen=True):
    """A query in the queue; times are in seconds of the monotonic clock."""

    query: Q
    arrival: float
    deadline: float


class InFlight(msgspec.Struct, frozen=True):
    """Calls that have not returned, and the queries in them."""

    calls: int = 0
    queries: int = 0


@dataclass(frozen=True, slots=True)
class CoalescingLimits:
    """Queries in one call, calls at a time to each replica, and the seconds that a query waits for company."""

    batch: int
    calls: int
    linger: float = 0.0015


class Decision(msgspec.Struct, Generic[Q], frozen=True):
    """What to send now, what has run out of time, and what stays in the queue, each in order of arrival."""

    send: list[Waiting[Q]]
    expired: list[Waiting[Q]]
    rest: list[Waiting[Q]]
    look_again: float | None = None
    """When to decide anew, if no call returns and no query arrives before; None if that need not be."""


def decide(
    queue: Sequence[Waiting[Q]], in_flight: InFlight, now: float, limits: CoalescingLimits, replicas: int = 1
) -> Decision[Q]:
    """Return what is to be done with the queue.

    Args:
        queue: in order of arrival.
        in_flight: see ``InFlight``.
        now: seconds of the monotonic clock.
        limits: see ``CoalescingLimits``.
        replicas: embedders that share the calls.
    """
    calls = limits.calls * replicas
    expired = [waiting for waiting in queue if waiting.deadline <= now]
    alive = [waiting for waiting in queue if waiting.deadline > now] if expired else list(queue)
    if not alive or in_flight.calls >= calls:
        return Decision([], expired, alive)
    share = -(-(len(alive) + in_flight.queries) // calls)
    company_until = alive[0].arrival + limits.linger
    if in_flight.calls and 2 * len(alive) < share and now < company_until:
        return Decision([], expired, alive, look_again=company_until)
    size = min(share, limits.batch)
    return Decision(alive[:size], expired, alive[size:])
