"""The background tasks of a gateway that shares snapshots: the election of the builder, and the exchange."""

import asyncio
import logging
import time
from typing import Final

from tandem_gateway.errors import GatewayError, SnapshotUnusable, for_log
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.index.shared_snapshots import LEASE_SECONDS, SharedSnapshots, is_better
from tandem_gateway.index.state import IndexState
from tandem_gateway.metrics.index import IndexMetrics
from tandem_gateway.records.index import Publication
from tandem_gateway.use_cases.snapshotting import SharingPolicy, is_publication_due, new_to_publish

log = logging.getLogger(__name__)

_ELECT_SECONDS: Final = LEASE_SECONDS / 10
_LOOK_SECONDS: Final = 2.0
_TIDY_SECONDS: Final = 600.0


class SnapshotSharing:
    """Publishes what a builder has built, and takes over what another gateway has published."""

    def __init__(
        self, shared: SharedSnapshots, index: IndexThread, metrics: IndexMetrics, policy: SharingPolicy, least: int
    ) -> None:
        """Make the tasks.

        Args:
            shared: see ``SharedSnapshots``.
            index: takes over what is loaded.
            metrics: shows whether this gateway builds.
            policy: see ``SharingPolicy``.
            least: new vectors from which a builder builds.
        """
        self._shared = shared
        self._index = index
        self._metrics = metrics
        self.policy = policy
        self._least = least
        self._looked = float("-inf")
        self._tidied = float("-inf")
        self._failing = False

    @property
    def builds(self) -> bool:
        """Whether this gateway builds snapshots for all."""
        return self._shared.builds

    async def elect(self) -> None:
        """Become and stay the builder whenever no other gateway is it, until cancelled."""
        builds = failing = False
        while True:
            try:
                await asyncio.to_thread(self._shared.elect)
                failing = False
            except GatewayError as error:
                if not failing:
                    log.error("the builder of snapshots cannot be elected", extra={"error": for_log(error)})
                failing = True
            if self.builds != builds:
                builds = self.builds
                log.info("this gateway builds the snapshots" if builds else "another gateway builds the snapshots")
            self._metrics.builder.set(builds)
            await asyncio.sleep(_ELECT_SECONDS)

    async def look(self, states: list[IndexState]) -> bool:
        """Exchange snapshots, at most every few seconds; return whether an index was replaced.

        Args:
            states: of all indexes.
        """
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return False
        try:
            replaced = await self._exchange(states)
            self._failing = False
        except GatewayError as error:
            replaced = False
            self._metrics.shared("failed")  # each time, so that an alert sees that it lasts
            if not self._failing:
                log.error("snapshots cannot be shared", extra={"error": for_log(error)})
            self._failing = True
        self._looked = time.monotonic()
        return replaced

    async def _exchange(self, states: list[IndexState]) -> bool:
        newest = await asyncio.to_thread(self._shared.newest)
        replaced = published = False
        for state in states:
            one = newest.get(state.space_id)
            if one is not None and (one.position, -one.unproven) > (state.saved, -state.unproven):
                replaced = await self._take_over(state) or replaced
            elif self.builds and state.saved:
                published = await self._publish(state, one) or published
        if self.builds and (published or time.monotonic() - self._tidied >= _TIDY_SECONDS):
            self._tidied = time.monotonic()
            await asyncio.to_thread(self._shared.tidy)
        return replaced

    async def _take_over(self, state: IndexState) -> bool:
        """Load the newest snapshot that another gateway published, and search it from now on."""
        current = await asyncio.to_thread(self._shared.manifest, state.space_id)
        received = await asyncio.to_thread(self._shared.receive, state.space_id, current)
        if received is None and (current is None or current.position <= state.saved):
            return False
        try:
            base, manifest = await asyncio.to_thread(self._index.load_base, state.space_id)
            await asyncio.wrap_future(self._index.adopt(state.space_id, base, manifest))
        except SnapshotUnusable as reason:
            log.warning("a shared snapshot cannot be used", extra={"reason": str(reason)})
            self._metrics.shared("refused")
            return False
        return True

    async def _publish(self, state: IndexState, newest: Publication | None) -> bool:
        """Publish the snapshot in the data directory, if that is due."""
        manifest = await asyncio.to_thread(self._shared.manifest, state.space_id)
        if manifest is None:
            return False
        if newest is not None:
            if not is_better(manifest, newest):
                return False
            threshold = new_to_publish(newest.count, self._least, self.policy)
            new = await asyncio.to_thread(self._shared.added, state.space_id, newest.position, threshold)
            proven = newest.unproven > 0 and manifest.unproven == 0
            if not is_publication_due(new, proven, newest.seconds, threshold, self.policy):
                return False
        return await asyncio.to_thread(self._shared.publish, manifest)
