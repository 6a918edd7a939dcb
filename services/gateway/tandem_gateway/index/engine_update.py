"""Brings the vectors of a space in an engine up to date with the store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tandem_gateway.index import catch_up
from tandem_gateway.index.catch_up import Position
from tandem_gateway.ports.change_log import ChangeLog, IndexFeed
from tandem_gateway.ports.vector_engine import VectorEngine
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.engines import EngineSpace, EngineState

Print = Callable[[str], None]

_PAGE: Final = 2000
_TELL_EVERY: Final = 50_000


def space_of(feed: ChangeLog, record: CollectionRecord) -> EngineSpace:
    """Return the space of a collection whose dimension is known, as engines name it."""
    assert record.dim is not None
    return EngineSpace(feed.store_id(), record.space_id, record.dim)


@dataclass(frozen=True, slots=True)
class Writer:
    """What writes vectors of a store into an engine.

    Attributes:
        engine: the engine of the collection.
        feed: the store.
        may_write: called before each page; False ends the update.
        report: called with a line of progress.
    """

    engine: VectorEngine
    feed: IndexFeed
    may_write: Callable[[], bool] = lambda: True
    report: Print = lambda line: None

    def update(self, record: CollectionRecord, *, rebuild: bool = False) -> EngineState | None:
        """Write what has changed since the engine's position; write and publish a new generation if that is needed.

        A new generation is needed if there is none, if the store has forgotten removals since the position, or if the
        engine has another number of vectors than it had when the position was recorded.

        Args:
            record: a collection whose dimension is known.
            rebuild: whether to write a new generation in any case.

        Returns:
            The state that was reached; None if ``may_write`` returned False, or if the update has to be repeated.

        Raises:
            StorageError: the engine or the store failed. The next update repeats what was not recorded.
        """
        space = space_of(self.feed, record)
        state = None if rebuild else self._usable(record, space)
        if state is not None:
            try:
                return self._write(record, space, state, Position(state.written, state.written))
            except _TooFarBehind:
                self.report(f"collection {record.name}: the engine is too far behind; it is filled from the start")
        try:
            filled = self._write(record, space, self.engine.begin(space), catch_up.beginning(self.feed))
        except _TooFarBehind:
            return None
        if filled is not None:
            self.engine.publish(space, filled)
        return filled

    def _usable(self, record: CollectionRecord, space: EngineSpace) -> EngineState | None:
        """Return the published generation, if it can be continued."""
        state = self.engine.state(space)
        if state is None:
            return None
        if state.written > self.feed.last_change():
            self.report(f"collection {record.name}: the engine is ahead of the store; it is filled from the start")
            return None
        if self.engine.count(space, state) != state.count:
            self.report(f"collection {record.name}: the engine has lost or got vectors; it is filled from the start")
            return None
        return state

    def _write(
        self, record: CollectionRecord, space: EngineSpace, state: EngineState, position: Position
    ) -> EngineState | None:
        """Write all changes after a position into a generation."""
        told = written = 0
        while True:
            changes = self.feed.changes(record, after=position.added, removals_after=position.removed, limit=_PAGE)
            if changes is None:
                raise _TooFarBehind
            if not self.may_write():
                return None
            # Without a change, a write notes that searches may see more by now; else they never would.
            unseen = changes.complete and state.visible < state.written
            if len(changes.added) or len(changes.removed) or changes.upto > state.written or unseen:
                state = self.engine.write(space, state, changes.added, changes.vectors, changes.removed, changes.upto)
            position.added = changes.upto
            position.removed = max(position.removed, changes.upto)
            written += len(changes.added)
            if changes.complete:
                return state
            if written >= told + _TELL_EVERY:
                told = written
                self.report(f"collection {record.name}: {written} vectors written to its engine")


class _TooFarBehind(Exception):
    """The store does not know all removals after a position any more."""
