"""The running gateway: startup, background tasks, and shutdown; the use cases, health and metrics for its routes."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from tandem_gateway.access.callers_keys import CallersKeys
from tandem_gateway.access.control import AccessControl
from tandem_gateway.access.principal import Principal
from tandem_gateway.access.use_cases import CallersUseCases, GuardedUseCases
from tandem_gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    NotFound,
    NotReady,
    Overloaded,
    StorageError,
    Unauthorized,
    for_log,
)
from tandem_gateway.lifecycle.health import health_of
from tandem_gateway.lifecycle.lag import Lag
from tandem_gateway.lifecycle.nearness import until_near
from tandem_gateway.lifecycle.open_store import OpenStore
from tandem_gateway.lifecycle.retention import RetentionPolicy, forget_old
from tandem_gateway.lifecycle.snapshots import Snapshots
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.ports.embedder import Embedder, EmbedderPool
from tandem_gateway.ports.position import StorePosition
from tandem_gateway.ports.shared_state import BEAT_SECONDS, SharedState
from tandem_gateway.records.health import GatewayHealth
from tandem_gateway.records.notices import RoutineNotice
from tandem_gateway.use_cases.snapshotting import SnapshotPolicy
from tandem_gateway.use_cases.use_cases import UseCases
from tandem_runtime import gc_tuning

log = logging.getLogger(__name__)

_PROBE_SECONDS = 2.0
_PROBE_TIMEOUT = 1.0
_RESTART_SECONDS = 1.0
_LEAVE_SECONDS = 2.0


class Gateway:
    """The running gateway; one event loop owns it."""

    def __init__(
        self,
        open_store: Callable[[], OpenStore],
        build: Callable[[OpenStore], UseCases],
        embedder: Embedder,
        metrics: Metrics,
        *,
        pools: Sequence[EmbedderPool],
        snapshot_policy: SnapshotPolicy,
        retention: RetentionPolicy,
        access: AccessControl | None = None,
    ) -> None:
        """Make the gateway; ``start`` starts it.

        Args:
            open_store: opens and checks the data directory and loads the index; blocks, so it runs in a thread.
            build: builds the use cases.
            embedder: embedder to probe for readiness.
            metrics: metrics to update.
            pools: pools behind ``embedder``; the gateway keeps them in step with DNS from ``start`` on.
            snapshot_policy: when to save the index.
            retention: how long the store keeps what has ended.
            access: the API keys; None for a gateway without access control.
        """
        self._open_storage = open_store
        self._build = build
        self._embedder = embedder
        self._metrics = metrics
        self._pools = pools
        self._snapshot_policy = snapshot_policy
        self._retention = retention
        self._others: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._sharing: list[tuple[str, Callable[[SharedState], Awaitable[None]]]] = []
        self.access = access
        self._storage: OpenStore | None = None
        self._use_cases: UseCases | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._embedder_up = False
        self._snapshots: Snapshots | None = None
        self.draining = False
        self.failure: str | None = None
        """Why the startup failed, or why the gateway has to start again; None for neither."""

    def also_run(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run another background task from ``start`` on; call it before ``start``."""
        self._others.append((name, run))

    def also_share(self, name: str, run: Callable[[SharedState], Awaitable[None]]) -> None:
        """Run another background task while the store is one that gateways share; call it before ``start``."""
        self._sharing.append((name, run))

    def start(self, on_failure: Callable[[], None]) -> None:
        """Start in the background; ``on_failure`` is called in the event loop if the startup fails."""
        self._tasks.append(asyncio.create_task(self._start(on_failure), name="start"))
        for pool in self._pools:
            self._tasks.append(asyncio.create_task(self._keep_running("names", pool.follow_names)))
        for name, run in self._others:
            self._tasks.append(asyncio.create_task(self._keep_running(name, run)))
        if self.access is not None:
            self._tasks.append(asyncio.create_task(self._keep_running("keys", self.access.follow)))
            if self.access.metering is not None:
                self._tasks.append(asyncio.create_task(self._keep_running("usage", self.access.metering.follow)))
            if self.access.tokens is not None:
                self._tasks.append(asyncio.create_task(self._keep_running("jwks", self.access.tokens.follow)))

    def ready(self, principal: Principal | None = None) -> CallersUseCases:
        """Return the use cases that a caller may use: every one while access control is off.

        Args:
            principal: the caller; None if it is unknown.

        Raises:
            NotReady: the gateway is still starting, or the startup failed.
            Unauthorized: access control is on, and the caller is unknown.
        """
        use_cases = self._use_cases
        if use_cases is None:
            raise NotReady(self.failure or "the gateway is starting: the store is checked and the index loaded")
        if self.access is None:
            return use_cases
        if not self.access.on:
            anonymous = self.access.anonymous
            return use_cases if anonymous is None else GuardedUseCases(use_cases, anonymous)
        if principal is None:
            raise Unauthorized("authorization: an API key was expected")
        return GuardedUseCases(use_cases, principal)

    def keys(self, principal: Principal | None) -> CallersKeys:
        """Return the API keys for a caller.

        Raises:
            NotFound: access control is off.
            Unauthorized: the caller is unknown.
            Forbidden: the caller has not the role ``admin`` for every collection.
        """
        if self.access is None or not self.access.on:
            raise NotFound(
                "access control is off: make the first key with 'python -m tandem_gateway keys create'", param="path"
            )
        if principal is None:
            raise Unauthorized("authorization: an API key with the role 'admin' for every collection was expected")
        return CallersKeys(self.access, principal)

    @property
    def position(self) -> StorePosition | None:
        """What knows the store's position; None while the store is not open."""
        return None if self._storage is None else self._storage.position

    def check_ready(self) -> None:
        """Check that the gateway takes requests.

        Raises:
            NotReady: it is starting or stopping, or the startup failed.
        """
        if self._use_cases is None:
            raise NotReady(self.failure or "the gateway is starting: the store is checked and the index loaded")
        if self.draining:
            raise NotReady(self.failure or "the gateway is shutting down")

    async def health(self, principal: Principal | None = None) -> GatewayHealth:
        """Return the health of the gateway, without counts for a caller that may not see every collection."""
        health = await self._health()
        if (
            self.access is None
            or not self.access.on
            or (principal is not None and principal.pattern is None and principal.filter is None)
        ):
            return health
        return replace(health, documents=None, pending=None)

    async def _health(self) -> GatewayHealth:
        if self._use_cases is None or self._storage is None:
            return GatewayHealth("failed" if self.failure else "starting", self._embedder_up, detail=self.failure)
        return await health_of(self._storage, self._use_cases, self._pools, embedder_up=self._embedder_up)

    async def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format, with the store's current counts."""
        for pool in self._pools:
            self._metrics.embedders.set_pool(pool.state())
        if self._use_cases is not None and self._storage is not None:
            self._metrics.searches.queued.set(self._use_cases.dense_search.queued)
            try:
                records = await self._storage.catalogue.collections()
            except (StorageError, DeadlineExceeded, Overloaded):
                self._metrics.documents.store_readable.set(0)  # the counts keep their last values
                return self._metrics.exposition()
            self._metrics.documents.store_readable.set(1)
            self._metrics.clear_collections()
            for record in records:
                self._metrics.documents.set_collection(record.name, record.live, record.pending)
            states = self._snapshots.states if self._snapshots is not None else []
            for state in states:
                if state.serving:
                    self._metrics.index.set(state)
            self._metrics.reembedding.set(states)
            self._metrics.index.filter_bytes.set(self._storage.filters.bytes)
            self._metrics.index.keyword_bytes.set(self._storage.lexical.bytes)
        return self._metrics.exposition()

    def drain(self) -> None:
        """Note that the service takes no new work, and let the requests go that wait for jobs or follow them."""
        self.draining = True
        if self._use_cases is not None:
            self._use_cases.jobs.release()
            self._use_cases.job_events.release()

    async def stop(self) -> None:
        """Cancel the background tasks, wait for the searches in progress, and close the data directory."""
        self._metrics.ready.set(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._use_cases is not None:
            await self._use_cases.dense_search.drain()
        self._use_cases = None
        if self._storage is not None:
            if self._storage.shared is not None:
                try:
                    async with asyncio.timeout(_LEAVE_SECONDS):
                        await self._storage.shared.leave()
                except (TimeoutError, StorageError, DeadlineExceeded, Overloaded) as error:
                    log.warning("the other gateways could not be told of the end", extra={"error": str(error)})
            await asyncio.to_thread(self._storage.close)
            self._storage = None
        if self.access is not None:
            await asyncio.to_thread(self.access.close)

    async def _start(self, on_failure: Callable[[], None]) -> None:
        started = time.monotonic()
        opening = asyncio.create_task(asyncio.to_thread(self._open_storage))
        try:
            self._storage = storage = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The gateway stops during the startup. The thread cannot be interrupted: wait for it, and close its store.
            opened = (await asyncio.gather(opening, return_exceptions=True))[0]
            if isinstance(opened, OpenStore):
                await asyncio.to_thread(opened.close)
            raise
        except Exception as error:
            self.failure = str(error)
            expected = isinstance(error, GatewayError)
            log.critical(
                "the gateway cannot start", extra={"error": for_log(error)}, exc_info=None if expected else error
            )
            on_failure()
            return
        for line in storage.notices:
            if isinstance(line, RoutineNotice):
                log.info("done at the start", extra={"done": line})
            else:
                self._metrics.index.repairs.inc()
                log.warning("repaired at the start", extra={"repair": line})
        if storage.ended is not None:
            self._tasks.append(asyncio.create_task(self._end_with(storage.ended, on_failure)))
        if storage.shared is not None:
            self._tasks.append(asyncio.create_task(self._keep_running("presence", partial(self._beat, storage.shared))))
            for name, run in self._sharing:
                self._tasks.append(asyncio.create_task(self._keep_running(name, partial(run, storage.shared))))
        await until_near(storage.steps)
        self._use_cases = use_cases = self._build(storage)
        gc_tuning.freeze()
        self._metrics.ready.set(1)
        log.info("ready", extra={"seconds": round(time.monotonic() - started, 3)})
        self._snapshots = snapshots = Snapshots(
            storage.index,
            storage.snapshots,
            storage.retention,
            self._snapshot_policy,
            self._metrics.index,
            storage.sharing,
        )
        if storage.steps:
            lag = Lag(storage.steps)
            self._metrics.index.lag.set_function(lambda: lag.seconds)
            self._tasks.append(asyncio.create_task(self._keep_running("lag", lag.run)))
        if storage.sharing is not None:
            self._tasks.append(asyncio.create_task(self._keep_running("election", storage.sharing.elect)))
        self._tasks += [
            asyncio.create_task(self._keep_running("embedding", use_cases.embedding.run)),
            asyncio.create_task(self._keep_running("reembedding", use_cases.reembedding.run)),
            asyncio.create_task(self._keep_running("probe", lambda: self._probe(use_cases))),
            asyncio.create_task(self._keep_running("snapshots", snapshots.run)),
            asyncio.create_task(
                self._keep_running("retention", partial(forget_old, storage.retention, self._retention))
            ),
            asyncio.create_task(self._keep_running("scrub", use_cases.scrubber.run)),
        ]

    async def _beat(self, shared: SharedState) -> None:
        """Tell the other gateways that this one lives, until cancelled."""
        failing = False
        while True:
            try:
                self._metrics.gateways.set(await shared.beat())
                failing = False
            except (StorageError, DeadlineExceeded, Overloaded) as error:
                if not failing:
                    log.error("the other gateways cannot be told", extra={"error": for_log(error)})
                failing = True
            await asyncio.sleep(BEAT_SECONDS)

    async def _end_with(self, ended: Future[str], on_failure: Callable[[], None]) -> None:
        """End the gateway when its store says that it has to start again."""
        self.failure = await asyncio.wrap_future(ended)
        log.critical("the gateway ends, so that it starts again", extra={"error": self.failure})
        self._metrics.ready.set(0)
        self.drain()
        on_failure()

    async def _keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a task; if it fails, log the error, count it, and restart the task."""
        while True:
            try:
                await run()
                return
            except Exception:
                log.exception("a background task died and is started again", extra={"task": name})
                self._metrics.task_restarts.inc()
                await asyncio.sleep(_RESTART_SECONDS)

    async def _probe(self, use_cases: UseCases) -> None:
        while True:
            up = await self._embedder.ready(timeout=_PROBE_TIMEOUT)
            if up != self._embedder_up:
                log.log(logging.INFO if up else logging.WARNING, "embedder is %s", "ready" if up else "not ready")
                if up:
                    use_cases.embedding.notify()
            self._embedder_up = up
            use_cases.search_pipeline.embedder_is(up)
            self._metrics.embedders.up.set(up)
            await asyncio.sleep(_PROBE_SECONDS)
