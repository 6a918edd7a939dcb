"""``SnapshotRegistry`` in memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.records.index import NewSnapshot, Publication, PublishedSnapshot


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    snapshot: NewSnapshot
    at: float


class MemorySnapshotRegistry:
    """Implements ``SnapshotRegistry`` in plain code."""

    def __init__(self, feed: IndexFeed, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep the snapshots of the store of ``feed``."""
        self._feed = feed
        self._clock = clock
        self._rows: list[_Row] = []
        self._numbered = 0
        self._owner = ""
        self._term = 0
        self._until = 0.0

    def store_id(self) -> str:
        """Return the store's random id."""
        return self._feed.store_id()

    def lead(self, owner: str, seconds: float) -> int | None:
        """Make a gateway the builder; see ``SnapshotRegistry.lead``."""
        now = self._clock()
        if owner != self._owner:
            if now < self._until:
                return None
            self._owner = owner
            self._term += 1
        self._until = now + seconds
        return self._term

    def resign(self, owner: str) -> None:
        """Let another gateway build; see ``SnapshotRegistry.resign``."""
        if owner == self._owner:
            self._until = float("-inf")

    def newest(self) -> dict[int, Publication]:
        """Return the newest snapshot of each space; see ``SnapshotRegistry.newest``."""
        now = self._clock()
        found = {}
        for row in self._rows:
            one = row.snapshot.manifest
            found[one.space_id] = Publication(row.number, one.position, one.unproven, one.count, now - row.at)
        return found

    def published(self, space_id: int) -> list[PublishedSnapshot]:
        """Return the snapshots of a space; see ``SnapshotRegistry.published``."""
        return [
            PublishedSnapshot(row.number, row.snapshot.encoded, row.snapshot.sha256, row.snapshot.location, None)
            for row in reversed(self._rows)
            if row.snapshot.manifest.space_id == space_id
        ]

    def publish(self, snapshot: NewSnapshot, owner: str, term: int) -> str | None:
        """Publish a snapshot; see ``SnapshotRegistry.publish``."""
        if (owner, term) != (self._owner, self._term):
            return "another gateway builds now"
        if snapshot.manifest.space_id not in self._spaces():
            return "its collection is gone"
        self._numbered += 1
        self._rows.append(_Row(self._numbered, snapshot, self._clock()))
        return None

    def tidy(self, owner: str, term: int, kept_seconds: float, most: int) -> list[str] | None:
        """Drop old snapshots; see ``SnapshotRegistry.tidy``."""
        if (owner, term) != (self._owner, self._term):
            return None
        spaces, oldest = self._spaces(), self._clock() - kept_seconds
        kept: list[_Row] = []
        newer: dict[int, list[_Row]] = {}
        for row in reversed(self._rows):
            space = row.snapshot.manifest.space_id
            later = newer.setdefault(space, [])
            if space in spaces and len(later) < most and (not later or later[-1].at >= oldest):
                kept.append(row)
            later.append(row)
        self._rows = kept[::-1]
        return [row.snapshot.location for row in self._rows]

    def added(self, space_id: int, after: int, most: int) -> int:
        """Count the vectors that were added after a change; see ``SnapshotRegistry.added``."""
        return min(most, self._feed.vectors_after(space_id, after))

    def close(self) -> None:
        """Do nothing."""

    def _spaces(self) -> set[int]:
        return {record.space_id for record in self._feed.spaces().all()}
