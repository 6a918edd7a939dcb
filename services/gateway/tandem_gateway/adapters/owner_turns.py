"""Turns of the owners of documents that wait in one collection, so that one with many does not delay another.

A store numbers its documents in the order in which they are accepted. The documents of one ingest have the numbers of
one range, so the owners are known without a column in the store. They are forgotten at a restart: the documents that
were accepted before count as those of one more owner.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

MAX_OWNERS: Final = 1000
"""Owners of one collection that have turns of their own; the others share one."""
MAX_RANGES: Final = 1000
"""Ranges of one owner in a collection. Later ones are joined, with the documents of others between them."""
_OTHERS: Final = ""


@dataclass(slots=True)
class DocumentRange:
    """Numbers of documents, both ends included; ``first`` grows while its documents get their vectors."""

    first: int
    last: int


class OwnerTurns:
    """Which documents of a collection a claim looks at, and in which order. ``note`` is for any thread."""

    def __init__(self) -> None:
        self._noted: deque[tuple[int, DocumentRange, str]] = deque()
        self._ranges: dict[int, dict[str, deque[DocumentRange]]] = {}
        self._served: dict[int, dict[str | None, int]] = {}
        self._last = 0

    def note(self, collection_id: int, first: int, last: int, owner: str) -> None:
        """Note that the documents with these numbers were accepted for an owner."""
        self._noted.append((collection_id, DocumentRange(first, last), owner))

    def keep(self, existing: Collection[int]) -> None:
        """Take in what was noted, and forget the collections that do not exist any more."""
        while self._noted:
            collection_id, noted, owner = self._noted.popleft()
            self._add(self._ranges.setdefault(collection_id, {}), noted, owner)
        for known in (self._ranges, self._served):
            for gone in known.keys() - set(existing):
                del known[gone]

    def lanes(self, collection_id: int) -> list[tuple[str | None, Iterable[DocumentRange]]]:
        """Return the owners with documents that may wait, and their ranges, the owner served least recently first.

        The owner None stands for the documents before all ranges. Without a known owner, there are no lanes. Copy the
        ranges to call ``finished`` while going through them.
        """
        owners = self._ranges.get(collection_id)
        if not owners:
            return []
        served = self._served.get(collection_id, {})
        before = min(ranges[0].first for ranges in owners.values()) - 1
        lanes: list[tuple[str | None, Iterable[DocumentRange]]] = [(None, [DocumentRange(0, before)])]
        lanes += owners.items()
        return sorted(lanes, key=lambda lane: served.get(lane[0], -1))

    def serve(self, collection_id: int, owner: str | None) -> None:
        """Note that a claim serves an owner."""
        self._last += 1
        served = self._served.setdefault(collection_id, {})
        served[owner] = self._last
        if len(served) > 2 * MAX_OWNERS:
            del served[min(served, key=lambda each: served[each])]

    def finished(self, collection_id: int, owner: str | None, done: DocumentRange) -> None:
        """Forget a range in which no document waits any more."""
        owners = self._ranges.get(collection_id, {})
        ranges = owners.get(owner) if owner is not None else None
        if owner is None or ranges is None or done not in ranges:
            return
        ranges.remove(done)
        if not ranges:
            del owners[owner]

    def _add(self, owners: dict[str, deque[DocumentRange]], noted: DocumentRange, owner: str) -> None:
        if owner not in owners and len(owners) >= MAX_OWNERS:
            owner = _OTHERS
        ranges = owners.setdefault(owner, deque())
        if ranges and (ranges[-1].last + 1 == noted.first or len(ranges) >= MAX_RANGES):
            ranges[-1].last = noted.last
        else:
            ranges.append(noted)
