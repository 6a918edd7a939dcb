"""Leases on pending documents, in memory, and the order in which collections are served.

The decisions take the clock as an argument and do no I/O. One thread owns a ``LeaseTable``.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """One document's lease; ``until`` is in seconds of the clock that the caller passes."""

    worker: str
    collection_id: int
    until: float


class LeaseTable:
    """Who holds which document until when, and how many attempts of a document ended badly."""

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._attempts: dict[int, int] = {}

    def grant(self, row_ids: Iterable[int], lease: Lease) -> None:
        """Lease documents that nobody holds."""
        for row_id in row_ids:
            assert row_id not in self._leases, f"{row_id} is leased to {self._leases[row_id].worker}"
            self._leases[row_id] = lease

    def expire(self, now: float) -> list[int]:
        """End the leases that have run out, count an attempt for each document, and return the documents."""
        ended = [row_id for row_id, lease in self._leases.items() if lease.until <= now]
        for row_id in ended:
            del self._leases[row_id]
            self._count(row_id)
        return ended

    def extend(self, worker: str, row_ids: Iterable[int], now: float, until: float) -> list[int]:
        """Move the end of a worker's leases to ``until``; return the documents that it still holds at ``now``."""
        held = [row_id for row_id in row_ids if self.holder(row_id, now) == worker]
        for row_id in held:
            self._leases[row_id] = Lease(worker, self._leases[row_id].collection_id, until)
        return held

    def release(self, worker: str, row_ids: Iterable[int], *, suspect: bool) -> None:
        """End a worker's leases on documents; count an attempt for each if they are suspects."""
        for row_id in row_ids:
            lease = self._leases.get(row_id)
            if lease is not None and lease.worker == worker:
                del self._leases[row_id]
                if suspect:
                    self._count(row_id)

    def forget(self, row_ids: Iterable[int]) -> None:
        """Forget documents that are no longer pending, whoever holds them."""
        for row_id in row_ids:
            self._leases.pop(row_id, None)
            self._attempts.pop(row_id, None)

    def holder(self, row_id: int, now: float) -> str | None:
        """Return the worker that holds a document at ``now``; None if nobody does."""
        lease = self._leases.get(row_id)
        return lease.worker if lease is not None and now < lease.until else None

    def attempts(self) -> dict[int, int]:
        """Return the number of attempts of each document that has one."""
        return dict(self._attempts)

    def held(self) -> dict[int, set[int]]:
        """Return the leased documents of each collection that has one, whether or not a lease has run out."""
        found: dict[int, set[int]] = {}
        for row_id, lease in self._leases.items():
            found.setdefault(lease.collection_id, set()).add(row_id)
        return found

    def _count(self, row_id: int) -> None:
        self._attempts[row_id] = self._attempts.get(row_id, 0) + 1


class Turns:
    """Which collection was served when; decides the order in which a claim looks for documents."""

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
    """Return collections in the order in which a claim looks for documents.

    A collection with few documents under lease comes first, so that a small ingest does not wait behind a large one.
    Among equals, the collection served least recently comes first. No collection starves: once its leases have ended,
    each other collection is served at most once before it.

    Args:
        waiting: collections with pending documents.
        leased: collection → number of its documents under lease; 0 if missing.
        served: collection → a number that grows with each claim.
    """
    return sorted(waiting, key=lambda each: (leased.get(each, 0), served[each], each))


def batch_alone(row_ids: Sequence[int], attempts: Mapping[int, int]) -> list[int]:
    """Return the documents that share a batch: the first suspect alone, or else all of them."""
    suspects = (row_id for row_id in row_ids if row_id in attempts)
    first = next(suspects, None)
    return list(row_ids) if first is None else [first]
