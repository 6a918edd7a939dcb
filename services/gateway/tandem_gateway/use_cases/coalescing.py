"""Coalesces queries into embedder calls: a pure function of the queue, the calls in flight and the clock.

The gateway sends a lone query at once. Queries that arrive while calls are in flight wait in the queue. When there is
room for another call, they go out together.

Two rules keep the calls similar in size. Without them, the traffic settles into one large call and a string of calls
with a single query each. Half of the embedder is then idle.

- A call takes at most its share: the queries that wait or are in flight, divided by the number of calls allowed.
- While another call is in flight, less than half a share waits for more queries, for at most ``linger`` seconds. The
  answers to a call reach their clients together, so their next queries arrive together. The first of them must not go
  out alone.

While several callers are active, two more rules keep one of them from delaying the others:

- The queries go out in fair turns, and a caller that fills calls alone shares none with others; see ``fair_turns``.
- No caller has queries in all of the calls: one call is left for the others, which then find it free. Such a caller's
  first query does not wait for company.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from tandem_gateway.use_cases.fair_turns import Waiting, next_call

Q = TypeVar("Q")


class InFlight(msgspec.Struct, frozen=True):
    """Number of calls that have not returned, and of the queries in them."""

    calls: int = 0
    queries: int = 0


@dataclass(frozen=True, slots=True)
class CoalescingLimits:
    """Limits of coalescing.

    Attributes:
        batch: maximum number of queries in one call.
        calls: maximum number of concurrent calls per replica.
        linger: maximum seconds that a query waits for others while a call is in flight.
    """

    batch: int
    calls: int
    linger: float = 0.0015


class Decision(msgspec.Struct, Generic[Q], frozen=True):
    """The queries to send now, the expired ones, and the rest of the queue, each in order of arrival."""

    send: list[Waiting[Q]]
    expired: list[Waiting[Q]]
    rest: list[Waiting[Q]]
    look_again: float | None = None
    """When to call ``decide`` again if no call returns and no query arrives before; None if there is no such time."""


def decide(
    queue: Sequence[Waiting[Q]],
    in_flight: InFlight,
    now: float,
    limits: CoalescingLimits,
    replicas: int = 1,
    busy: Mapping[str | None, int] | None = None,
) -> Decision[Q]:
    """Decide which queries to send, to expire and to keep.

    Args:
        queue: queries in order of arrival.
        in_flight: calls that have not returned.
        now: seconds of the monotonic clock.
        limits: see ``CoalescingLimits``.
        replicas: number of embedders that share the calls.
        busy: caller → number of the calls in flight with its queries; None unless several callers are active.
    """
    calls = limits.calls * replicas
    expired = [waiting for waiting in queue if waiting.deadline <= now]
    alive = [waiting for waiting in queue if waiting.deadline > now] if expired else list(queue)
    if not alive or in_flight.calls >= calls:
        return Decision([], expired, alive)
    may_go = alive
    if busy is not None and calls > 1:
        may_go = [waiting for waiting in alive if busy.get(waiting.caller, 0) < calls - 1]
        if not may_go:
            return Decision([], expired, alive)
    share = -(-(len(alive) + in_flight.queries) // calls)
    company_until = may_go[0].arrival + limits.linger
    alone = busy is not None and any(waiting.caller not in busy for waiting in may_go)
    if in_flight.calls and 2 * len(may_go) < share and now < company_until and not alone:
        return Decision([], expired, alive, look_again=company_until)
    size = min(share, limits.batch)
    if busy is None:
        return Decision(alive[:size], expired, alive[size:])
    send = next_call(may_go, size)
    gone = {id(waiting) for waiting in send}
    return Decision(send, expired, [waiting for waiting in alive if id(waiting) not in gone])
