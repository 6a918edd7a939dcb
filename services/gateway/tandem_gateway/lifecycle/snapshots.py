"""The background task that saves the indexes when that is due."""

import asyncio
import logging
import time

from tandem_gateway.errors import GatewayError, StorageError, for_log
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.state import IndexState
from tandem_gateway.lifecycle.snapshot_sharing import SnapshotSharing
from tandem_gateway.metrics.index import IndexMetrics
from tandem_gateway.ports.index import SnapshotHelper
from tandem_gateway.ports.retention import Retention
from tandem_gateway.use_cases.snapshotting import (
    SnapshotPolicy,
    Unsaved,
    builds_for_itself,
    is_due,
    shortest_pause,
)

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class Snapshots:
    """Looks once a second whether to save the indexes."""

    def __init__(
        self,
        index: IndexThread,
        helper: SnapshotHelper,
        retention: Retention,
        policy: SnapshotPolicy,
        metrics: IndexMetrics,
        sharing: SnapshotSharing | None = None,
    ) -> None:
        """Make the task; ``run`` runs it.

        Args:
            index: knows what is unsaved, and takes over what was saved.
            helper: saves the indexes.
            retention: drops the removals that a saved index needs no more.
            policy: when to save.
            metrics: counts the attempts.
            sharing: exchanges snapshots with other gateways; None for a gateway that shares none.
        """
        self._index = index
        self._helper = helper
        self._retention = retention
        self._policy = policy
        self._metrics = metrics
        self._sharing = sharing
        self._refreshed = time.monotonic()
        """When the vector engines were looked at, if this gateway does not update them."""
        self.states: list[IndexState] = []
        """The state of each index at the last look."""

    async def run(self) -> None:
        """Save the indexes when that is due, until cancelled."""
        last_try = time.monotonic()
        # Space → change number up to which its removals were deleted; for spaces without a graph.
        forgotten: dict[int, int] = {}
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                self.states = await asyncio.wrap_future(self._index.state())
                if self._sharing is not None and await self._sharing.look(self.states):
                    self.states = await asyncio.wrap_future(self._index.state())
            except StorageError:
                continue  # the database is away; searches report it
            states = self.states
            if self._sharing is not None and not self._sharing.builds:
                # The builder also updates the vector engines.
                await self._refresh([state for state in states if state.in_engine])
                states = [state for state in states if not state.in_engine]
            unsaved = [_unsaved(state, forgotten.get(state.space_id, 0)) for state in states]
            if not self._is_due(unsaved, time.monotonic() - last_try):
                continue
            try:
                started = time.monotonic()
                for saved in await self._helper.run():
                    if saved.error is not None:
                        self._metrics.snapshot("failed")
                        log.error("a vector engine could not be updated", extra={"error": saved.error})
                        continue
                    if saved.engine:
                        await asyncio.wrap_future(self._index.refresh(saved.space_id))
                    if saved.graph:
                        base, manifest = await asyncio.to_thread(self._index.load_base, saved.space_id)
                        await asyncio.wrap_future(self._index.adopt(saved.space_id, base, manifest))
                        del base
                    forgotten[saved.space_id] = saved.position
                    await self._retention.forget_removals(saved.space_id, saved.position)
                self._metrics.snapshot("saved")
                log.info("index saved", extra={"seconds": round(time.monotonic() - started, 3)})
            except GatewayError as error:
                self._metrics.snapshot("failed")
                log.error("the index could not be saved", extra={"error": for_log(error)})
            last_try = time.monotonic()

    async def _refresh(self, states: list[IndexState]) -> None:
        """Search what another gateway has written to the vector engines, if that is due."""
        since = time.monotonic() - self._refreshed
        if not is_due([_unsaved(state, 0) for state in states], since, self._policy):
            return
        self._refreshed = time.monotonic()
        try:
            for state in states:
                await asyncio.wrap_future(self._index.refresh(state.space_id))
        except GatewayError as error:
            log.error("a vector engine could not be read", extra={"error": for_log(error)})

    def _is_due(self, unsaved: list[Unsaved], seconds_since: float) -> bool:
        sharing = self._sharing
        if sharing is None or sharing.builds:
            return is_due(unsaved, seconds_since, self._policy)
        if not builds_for_itself(unsaved, seconds_since, shortest_pause(self._policy), sharing.policy):
            return False
        log.warning("no shared snapshot came in time, so that this gateway builds its own")
        self._metrics.shared("built_alone")
        return True


def _unsaved(state: IndexState, forgotten: int) -> Unsaved:
    """Return what the snapshot of an index lacks; its removals up to a change may be forgotten without one."""
    return Unsaved(state.position - max(state.saved, forgotten), state.new, state.unproven)
