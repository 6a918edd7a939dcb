"""Fair shares of the embedder for callers whose queries wait at the same time.

Each query gets a turn when it arrives: the number of the round in which it would go out if every caller with waiting
queries had one in each round (start-time fair queueing). The queries of one caller have ascending turns, so their order
is kept. A caller with a thousand waiting queries delays the first query of another by one round, not by a thousand.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

Q = TypeVar("Q")

ACTIVE_SECONDS: Final = 5.0
"""A caller counts as active for so long after its last query."""
_MAX_CALLERS: Final = 10_000


class Waiting(msgspec.Struct, Generic[Q], frozen=True):
    """A query in the queue; times are seconds of the monotonic clock."""

    query: Q
    arrival: float
    deadline: float
    caller: str | None = None
    turn: float = 0.0
    """The round in which the query goes out; see the module."""


class Turns:
    """Gives turns, and knows which callers are active. The clock is an argument."""

    def __init__(self) -> None:
        self._round = 0.0
        self._last: dict[str | None, tuple[float, float]] = {}
        """Caller → the turn and the time of its last query, in the order of the times."""

    def next(self, caller: str | None, now: float) -> float:
        """Return the turn of a query that arrives."""
        last = self._last.pop(caller, None)
        turn = self._round + 1 if last is None else max(self._round, last[0]) + 1
        self._last[caller] = turn, now
        return turn

    def sent(self, waiting: Sequence[Waiting[Q]]) -> None:
        """Note that queries go out: those that arrive from now on come after them."""
        for each in waiting:
            self._round = max(self._round, each.turn)

    def active(self, now: float) -> int:
        """Return the number of active callers; at least 1."""
        if len(self._last) <= 1:
            return 1
        while len(self._last) > 1:
            oldest = next(iter(self._last))
            if now - self._last[oldest][1] < ACTIVE_SECONDS and len(self._last) <= _MAX_CALLERS:
                break
            del self._last[oldest]
        return len(self._last)


def pushed_out(
    queue: Sequence[Waiting[Q]], caller: str | None, wanted: int, excess: int, share: int
) -> list[Waiting[Q]]:
    """Return the waiting queries that give up their places for those of a caller, so that none is beyond its share.

    Args:
        queue: queries in order of arrival.
        caller: the caller that wants places.
        wanted: number of places.
        excess: number of places that are missing.
        share: number of places that each caller may have while all are taken.

    Returns:
        ``excess`` queries of callers that have more than their share, the newest first; none if the caller would have
        more than its share itself, or the others keep to theirs.
    """
    held = Counter(waiting.caller for waiting in queue)
    if held[caller] + wanted > share:
        return []
    out = []
    for waiting in reversed(queue):
        if held[waiting.caller] > share:
            held[waiting.caller] -= 1
            out.append(waiting)
            if len(out) == excess:
                return out
    return []


def next_call(waiting: Sequence[Waiting[Q]], size: int) -> list[Waiting[Q]]:
    """Return up to ``size`` queries that share a call, in order of arrival, while several callers are active.

    A caller that fills a call alone gets calls of its own: in a large call, the few queries of another would take as
    long as the whole. All other callers share theirs.

    Args:
        waiting: at least one query.
        size: at least 1.
    """
    held = Counter(each.caller for each in waiting)
    first = min(waiting, key=_turn)
    if held[first.caller] >= size > 1:
        group = [each for each in waiting if each.caller == first.caller]
        return group[:size]
    group = [each for each in waiting if held[each.caller] < size] if size > 1 else [first]
    if len(group) <= size:
        return group
    chosen = {id(each) for each in sorted(group, key=_turn)[:size]}
    return [each for each in group if id(each) in chosen]


def _turn(waiting: Waiting[Q]) -> float:
    return waiting.turn
