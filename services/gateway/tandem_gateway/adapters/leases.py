"""Leases on passages that wait for their vectors, in memory, and the order in which collections are served.

The decisions take the clock as an argument and do no I/O. One thread owns a ``LeaseTable``.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAX_KNOWN_ATTEMPTS: Final = 10_000
"""Passages whose attempts are known at most. The one counted longest ago is forgotten: it may have been deleted, and if
it is still pending, it is only tried more often."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One passage's lease; ``until`` is in seconds of the clock that the caller passes."""

    worker: str
    collection_id: int
    until: float


class LeaseTable:
    """Who holds which passage until when, and how many attempts of a passage ended badly."""

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._attempts: dict[int, int] = {}

    def grant(self, passage_ids: Iterable[int], lease: Lease) -> None:
        """Lease passages that nobody holds."""
        for passage_id in passage_ids:
            assert passage_id not in self._leases, f"{passage_id} is leased to {self._leases[passage_id].worker}"
            self._leases[passage_id] = lease

    def expire(self, now: float) -> list[int]:
        """End the leases that have run out, count an attempt for each passage, and return the passages."""
        ended = [passage_id for passage_id, lease in self._leases.items() if lease.until <= now]
        for passage_id in ended:
            del self._leases[passage_id]
            self._count(passage_id)
        return ended

    def extend(self, worker: str, passage_ids: Iterable[int], now: float, until: float) -> list[int]:
        """Move the end of a worker's leases to ``until``; return the passages that it still holds at ``now``."""
        held = [passage_id for passage_id in passage_ids if self.holder(passage_id, now) == worker]
        for passage_id in held:
            self._leases[passage_id] = Lease(worker, self._leases[passage_id].collection_id, until)
        return held

    def release(self, worker: str, passage_ids: Iterable[int], *, suspect: bool) -> None:
        """End a worker's leases on passages; count an attempt for each if they are suspects."""
        for passage_id in passage_ids:
            lease = self._leases.get(passage_id)
            if lease is not None and lease.worker == worker:
                del self._leases[passage_id]
                if suspect:
                    self._count(passage_id)

    def forget(self, passage_ids: Iterable[int]) -> None:
        """Forget passages that have their vector or were removed, leased or not."""
        for passage_id in passage_ids:
            self._leases.pop(passage_id, None)
            self._attempts.pop(passage_id, None)

    def holder(self, passage_id: int, now: float) -> str | None:
        """Return the worker that holds a passage at ``now``; None if nobody does."""
        lease = self._leases.get(passage_id)
        return lease.worker if lease is not None and now < lease.until else None

    def attempts(self) -> dict[int, int]:
        """Return the number of attempts of each passage that has one."""
        return dict(self._attempts)

    def held(self) -> dict[int, set[int]]:
        """Return the leased passages of each collection that has one, whether or not a lease has run out."""
        found: dict[int, set[int]] = {}
        for passage_id, lease in self._leases.items():
            found.setdefault(lease.collection_id, set()).add(passage_id)
        return found

    def _count(self, passage_id: int) -> None:
        self._attempts[passage_id] = self._attempts.pop(passage_id, 0) + 1
        if len(self._attempts) > MAX_KNOWN_ATTEMPTS:
            del self._attempts[next(iter(self._attempts))]


class LeasedQueue:
    """The part of an ``EmbeddingQueue`` that concerns its leases alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin without leases; ``clock`` returns seconds and never goes back."""
        self._clock = clock
        self._leases = LeaseTable()

    async def extend(self, worker: str, passage_ids: Sequence[int], lease_seconds: float) -> list[int]:
        """Extend leases; see ``EmbeddingQueue.extend``."""
        now = self._clock()
        return self._leases.extend(worker, passage_ids, now, now + lease_seconds)

    async def release(self, worker: str, passage_ids: Sequence[int], *, suspect: bool = False) -> None:
        """Give passages back; see ``EmbeddingQueue.release``."""
        self._leases.release(worker, passage_ids, suspect=suspect)


class Turns:
    """Which collection was served when; decides the order in which a claim looks for passages."""

    def __init__(self) -> None:
        self._last = 0
        """Number of the last claim; claims have even numbers."""
        self._served: dict[int, int] = {}
        """Collection → number of the claim that served it last; an odd number if none did."""

    def order(self, waiting: Collection[int], leased: Mapping[int, int]) -> list[int]:
        """Return the waiting collections in service order; a new one comes right before the one served last.

        Args:
            waiting: collections with pending documents.
            leased: see ``service_order``.
        """
        for number in waiting:
            self._served.setdefault(number, self._last - 1)
        return service_order(waiting, leased, self._served)

    def serve(self, collection_id: int) -> None:
        """Note that a claim serves this collection."""
        self._last += 2
        self._served[collection_id] = self._last

    def keep(self, existing: Collection[int]) -> None:
        """Forget the collections that do not exist any more.

        A collection that only waits no more keeps its turn: if it came back as a new one each time, a few collections
        with single documents could together keep a large one from ever being served.
        """
        if len(self._served) > len(existing):
            self._served = {number: served for number, served in self._served.items() if number in existing}


def service_order(waiting: Iterable[int], leased: Mapping[int, int], served: Mapping[int, int]) -> list[int]:
    """Return collections in the order in which a claim looks for passages.

    A collection with few passages under lease comes first, so that a small ingest does not wait behind a large one.
    Among equals, the collection served least recently comes first. No collection starves: once its leases have ended,
    each other collection is served at most once before it.

    Args:
        waiting: collections with pending documents.
        leased: collection → number of its passages under lease; 0 if missing.
        served: collection → a number that grows with each claim.
    """
    return sorted(waiting, key=lambda each: (leased.get(each, 0), served[each], each))


def batch_alone(passage_ids: Sequence[int], attempts: Mapping[int, int]) -> list[int]:
    """Return the passages that share a batch: the first suspect alone, or else all of them."""
    suspects = (passage_id for passage_id in passage_ids if passage_id in attempts)
    first = next(suspects, None)
    return list(passage_ids) if first is None else [first]
