"""Decides which queued texts the model sees next. Pure: no clock, no task, no I/O; time comes as an argument.

The model's cost of a batch is what it computes, padding included: *rows × longest*. On a CPU a batch is hardly
cheaper than its texts one by one: it spares the fixed cost of a run, which is that of a few tokens, and every token of
padding is lost. Hence the rules:

1. *Budget.* rows × longest stays within the lane's budget; only a single text that is longer by itself may exceed it.
2. *Anchor.* A batch is built around the lane's oldest text, so none starves, whatever its length.
3. *Near-equal lengths.* It is filled with the texts of nearest length, first come first served among equals, as long
   as a text adds no more padding than a run of its own would cost (``run_tokens``, or ``padding_share`` of its length).
4. *Lanes.* Bulk starts a batch while no interactive text waits. While both wait, every interactive batch earns the bulk
   lane credit, worth ``bulk_share`` of the work; when the credit pays for a bulk batch, one may start. So a flood of
   queries leaves that share to ingest. How many batches run at a time is not decided here, but in ``lanes``.
5. *Deadlines.* A text whose deadline has passed is handed back as expired and never reaches the model.

Adding, removing and taking a text cost O(log n) or less; choosing a batch looks at each distinct length once at most.
"""

import bisect
import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from tandem_embedder.batching.lanes import LANES, Lane

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Limits of a batch; tokens are padded tokens.

    Attributes:
        max_tokens: budget of an interactive batch.
        max_bulk_tokens: budget of a bulk batch.
        run_tokens: what a run costs before its first token, in tokens; a text may always add that much padding.
        padding_share: padding that a long text may add, as a part of its length, from 0 to below 1.
        bulk_share: least part of the work that is left to bulk while both lanes wait, from 0 to below 1.
    """

    max_tokens: int = 512
    max_bulk_tokens: int = 160
    run_tokens: int = 8
    padding_share: float = 0.1
    bulk_share: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= self.max_bulk_tokens <= self.max_tokens:
            raise ValueError("1 <= max_bulk_tokens <= max_tokens must hold")
        if self.run_tokens < 0 or not (0 <= self.padding_share < 1 and 0 <= self.bulk_share < 1):
            raise ValueError("run_tokens must be 0 or more; padding_share and bulk_share must be from 0 to below 1")

    def padding(self, tokens: int) -> float:
        """Return the padding that a text of this length may add to a batch."""
        return max(self.run_tokens, self.padding_share * tokens)

    def budget(self, lane: Lane) -> int:
        """Return the padded tokens that a batch of this lane may have."""
        return self.max_tokens if lane == "interactive" else self.max_bulk_tokens


class Entry(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """One queued text.

    Attributes:
        id: unique in the queue; grows with arrival.
        tokens: its length, special tokens included; at least 1.
        lane: whose turn it waits for.
        arrival: when it was queued, seconds of a monotonic clock.
        deadline: when nobody waits for it any more, on the same clock.
        payload: what the caller wants back with it.
    """

    id: int
    tokens: int
    lane: Lane
    arrival: float
    deadline: float
    payload: T


class Batch(msgspec.Struct, Generic[T], frozen=True):
    """Texts for one run of the model; never empty."""

    lane: Lane
    entries: list[Entry[T]]

    @property
    def cost(self) -> int:
        """Padded tokens: rows × longest."""
        return len(self.entries) * max(entry.tokens for entry in self.entries)

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return sum(entry.tokens for entry in self.entries)


class Decision(msgspec.Struct, Generic[T], frozen=True):
    """What to do now: run ``batch`` (None: nothing may start) and tell the waiters of ``expired``."""

    batch: Batch[T] | None
    expired: list[Entry[T]]


@dataclass(slots=True)
class _Lane(Generic[T]):
    """The texts of one lane, by age and by length."""

    # OrderedDict, not dict: taking the first of a dict again and again walks over all that were removed before.
    by_age: OrderedDict[int, Entry[T]] = field(default_factory=OrderedDict)
    by_length: dict[int, OrderedDict[int, Entry[T]]] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    """Lengths that are there, ascending; at most as many as the model's limit has tokens."""

    def add(self, entry: Entry[T]) -> None:
        self.by_age[entry.id] = entry
        same = self.by_length.get(entry.tokens)
        if same is None:
            same = self.by_length[entry.tokens] = OrderedDict()
            bisect.insort(self.lengths, entry.tokens)
        same[entry.id] = entry

    def remove(self, entry: Entry[T]) -> None:
        del self.by_age[entry.id]
        same = self.by_length[entry.tokens]
        del same[entry.id]
        if not same:
            del self.by_length[entry.tokens]
            del self.lengths[bisect.bisect_left(self.lengths, entry.tokens)]

    def oldest(self) -> Entry[T]:
        return next(iter(self.by_age.values()))


class BatchQueue(Generic[T]):
    """The queued texts and the rules above. Not safe for threads: one event loop owns it."""

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self._lanes: dict[Lane, _Lane[T]] = {lane: _Lane() for lane in LANES}
        self._entries: dict[int, Entry[T]] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._credit = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def waiting(self, lane: Lane) -> int:
        """Return how many texts wait in ``lane``."""
        return len(self._lanes[lane].by_age)

    def add(self, entry: Entry[T]) -> None:
        """Queue a text; its id must be new."""
        if entry.id in self._entries:
            raise ValueError(f"entry {entry.id} is queued already")
        self._entries[entry.id] = entry
        self._lanes[entry.lane].add(entry)
        heapq.heappush(self._deadlines, (entry.deadline, entry.id))

    def discard(self, entry_id: int) -> Entry[T] | None:
        """Remove a text that nobody waits for; return it, or None if it is not queued (any more)."""
        entry = self._entries.get(entry_id)
        if entry is not None:
            self._remove(entry)
        return entry

    def take(self, now: float, lane: Lane) -> Decision[T]:
        """Remove and return the next batch of ``lane``, and every text whose deadline is ``now`` or earlier."""
        expired = self._take_expired(now)
        if not self._may_start(lane):
            return Decision(None, expired)
        batch = Batch(lane, self._fill(lane))
        for entry in batch.entries:
            self._remove(entry)
        self._account(batch)
        return Decision(batch, expired)

    def clear(self) -> list[Entry[T]]:
        """Remove and return everything, oldest first."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.id)
        for entry in entries:
            self._remove(entry)
        return entries

    def _may_start(self, lane: Lane) -> bool:
        if not self.waiting(lane):
            return False
        return lane == "interactive" or not self.waiting("interactive") or self._credit >= self.limits.max_bulk_tokens

    def _account(self, batch: Batch[T]) -> None:
        """Earn the bulk lane its share of an interactive batch, or pay for a bulk one."""
        if not self.waiting("bulk"):
            self._credit = 0.0
        elif batch.lane == "bulk":
            self._credit = max(0.0, self._credit - batch.cost)
        else:
            # Never more than one bulk batch's worth: what was earned in a long flood is not spent all at once.
            earned = batch.cost * self.limits.bulk_share / (1 - self.limits.bulk_share)
            self._credit = min(self._credit + earned, float(self.limits.max_bulk_tokens))

    def _fill(self, lane: Lane) -> list[Entry[T]]:
        queue = self._lanes[lane]
        budget = self.limits.budget(lane)
        anchor = queue.oldest()
        chosen = [anchor]
        longest = cost = anchor.tokens
        # Walk outwards from the anchor's length, to whichever side is nearer; a side that no longer fits is done,
        # because what lies farther fits less.
        middle = bisect.bisect_left(queue.lengths, anchor.tokens)
        low, high = middle, middle + 1
        while low >= 0 or high < len(queue.lengths):
            below = anchor.tokens - queue.lengths[low] if low >= 0 else None
            above = queue.lengths[high] - anchor.tokens if high < len(queue.lengths) else None
            downwards = above is None or (below is not None and below <= above)
            length = queue.lengths[low if downwards else high]
            allowed = self.limits.padding(length)
            done = False
            for entry in queue.by_length[length].values():
                if entry is anchor:
                    continue
                with_it = (len(chosen) + 1) * max(longest, length)
                if with_it > budget or with_it - cost - length > allowed:
                    done = True
                    break
                chosen.append(entry)
                longest = max(longest, length)
                cost = with_it
            if downwards:
                low = -1 if done else low - 1
            else:
                high = len(queue.lengths) if done else high + 1
        return chosen

    def _take_expired(self, now: float) -> list[Entry[T]]:
        expired = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, entry_id = heapq.heappop(self._deadlines)
            entry = self._entries.get(entry_id)
            if entry is not None:
                self._remove(entry)
                expired.append(entry)
        return expired

    def _remove(self, entry: Entry[T]) -> None:
        del self._entries[entry.id]
        self._lanes[entry.lane].remove(entry)
        # The deadlines of texts that were served stay in the heap until they pass; keep them from piling up.
        if len(self._deadlines) > 64 + 2 * len(self._entries):
            self._deadlines = [(kept.deadline, kept.id) for kept in self._entries.values()]
            heapq.heapify(self._deadlines)
