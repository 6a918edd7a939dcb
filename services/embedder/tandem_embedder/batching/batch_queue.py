"""Choose the queued texts for the next batch. Pure: no clock, no task, no I/O; time is an argument.

The cost of a batch is the number of tokens that the model computes, including padding: *rows × longest*. On a CPU a
batch is hardly cheaper than its texts one by one. It saves the fixed cost of a run, which equals that of a few tokens,
and it wastes every padding token. The rules follow from that:

1. *Budget.* rows × longest stays within the lane's budget. Only a batch of one text may exceed it.
2. *Anchor.* A batch is built around the lane's oldest text, so no text starves, whatever its length.
3. *Near-equal lengths.* The batch is filled with the texts of nearest length, in order of arrival among equals. A text
   may add no more padding than its own run would cost (``run_tokens``, or ``padding_share`` of its length).
4. *Lanes.* A bulk batch may start while no interactive text waits. While both lanes wait, every interactive batch earns
   credit for the bulk lane, worth ``bulk_share`` of the work. A bulk batch may start when the credit pays for it. So a
   flood of queries leaves that share to ingest. ``lanes`` decides how many batches run at a time.
5. *Deadlines.* A text whose deadline has passed is returned as expired and never reaches the model.

Adding, removing and taking a text cost O(log n) or less. Choosing a batch visits each distinct length at most once.
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
        run_tokens: fixed cost of a run, in tokens. A text may always add that much padding.
        padding_share: padding that a long text may add, as a fraction of its length; 0 <= share < 1.
        bulk_share: minimum fraction of the work for bulk while both lanes wait; 0 <= share < 1.
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
        """Return the padding, in tokens, that a text of this length may add to a batch."""
        return max(self.run_tokens, self.padding_share * tokens)

    def budget(self, lane: Lane) -> int:
        """Return the maximum number of padded tokens in a batch of this lane."""
        return self.max_tokens if lane == "interactive" else self.max_bulk_tokens


class Entry(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """One queued text.

    Attributes:
        id: unique in the queue; increases with arrival.
        tokens: length, including special tokens; at least 1.
        lane: lane that it waits in.
        arrival: time of queueing, in seconds of a monotonic clock.
        deadline: time after which the caller no longer waits, on the same clock.
        payload: the caller's data, returned with the entry.
    """

    id: int
    tokens: int
    lane: Lane
    arrival: float
    deadline: float
    payload: T


class Batch(msgspec.Struct, Generic[T], frozen=True):
    """Texts for one run of the model; at least one."""

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
    """Next action: run ``batch`` (None: no batch may start) and fail the requests of ``expired``."""

    batch: Batch[T] | None
    expired: list[Entry[T]]


@dataclass(slots=True)
class _Lane(Generic[T]):
    """The texts of one lane, by age and by length."""

    # OrderedDict, not dict: finding the first key of a dict scans the slots of all keys that were removed before it.
    by_age: OrderedDict[int, Entry[T]] = field(default_factory=OrderedDict)
    by_length: dict[int, OrderedDict[int, Entry[T]]] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    """Distinct lengths of the queued texts, ascending. The model's token limit bounds their number."""

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
    """Queued texts, taken in batches by the rules above. Not thread-safe: one event loop owns it."""

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self._lanes: dict[Lane, _Lane[T]] = {lane: _Lane() for lane in LANES}
        self._entries: dict[int, Entry[T]] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._credit = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def waiting(self, lane: Lane) -> int:
        """Return the number of texts queued in ``lane``."""
        return len(self._lanes[lane].by_age)

    def add(self, entry: Entry[T]) -> None:
        """Queue a text.

        Raises:
            ValueError: if its id is queued already.
        """
        if entry.id in self._entries:
            raise ValueError(f"entry {entry.id} is queued already")
        self._entries[entry.id] = entry
        self._lanes[entry.lane].add(entry)
        heapq.heappush(self._deadlines, (entry.deadline, entry.id))

    def discard(self, entry_id: int) -> Entry[T] | None:
        """Remove a text whose request has ended. Return it, or None if it is not queued (any more)."""
        entry = self._entries.get(entry_id)
        if entry is not None:
            self._remove(entry)
        return entry

    def take(self, now: float, lane: Lane) -> Decision[T]:
        """Remove and return the next batch of ``lane``, and all texts whose deadline is at or before ``now``."""
        expired = self._take_expired(now)
        if not self._may_start(lane):
            return Decision(None, expired)
        batch = Batch(lane, self._fill(lane))
        for entry in batch.entries:
            self._remove(entry)
        self._account(batch)
        return Decision(batch, expired)

    def clear(self) -> list[Entry[T]]:
        """Remove and return all texts, oldest first."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.id)
        for entry in entries:
            self._remove(entry)
        return entries

    def _may_start(self, lane: Lane) -> bool:
        if not self.waiting(lane):
            return False
        return lane == "interactive" or not self.waiting("interactive") or self._credit >= self.limits.max_bulk_tokens

    def _account(self, batch: Batch[T]) -> None:
        """Add the bulk lane's credit for an interactive batch, or subtract the cost of a bulk batch."""
        if not self.waiting("bulk"):
            self._credit = 0.0
        elif batch.lane == "bulk":
            self._credit = max(0.0, self._credit - batch.cost)
        else:
            # Cap the credit at one bulk batch: after a long flood of queries, saved credit would let bulk run many
            # batches in a row.
            earned = batch.cost * self.limits.bulk_share / (1 - self.limits.bulk_share)
            self._credit = min(self._credit + earned, float(self.limits.max_bulk_tokens))

    def _fill(self, lane: Lane) -> list[Entry[T]]:
        queue = self._lanes[lane]
        budget = self.limits.budget(lane)
        anchor = queue.oldest()
        chosen = [anchor]
        longest = cost = anchor.tokens
        # Walk outwards from the anchor's length, always to the nearer side. A side ends at its first text that does
        # not fit, because texts farther out fit even less.
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
        # The deadlines of removed texts stay in the heap until they pass. Rebuild the heap when they outnumber the
        # live ones, or it would grow without bound.
        if len(self._deadlines) > 64 + 2 * len(self._entries):
            self._deadlines = [(kept.deadline, kept.id) for kept in self._entries.values()]
            heapq.heapify(self._deadlines)
