"""The composition root: builds adapters, use cases, the gateway and its ASGI application from the settings."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tandem_gateway import __version__
from tandem_gateway.adapters.data_dir import keep_private
from tandem_gateway.adapters.data_lock import OWNER, SNAPSHOT, DataLock
from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http.tls import Tls
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_gateway.adapters.snapshot_process import SnapshotProcess
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.sqlite.change_feed import SqliteChangeFeed
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.lexical.thread import LexicalThread
from tandem_gateway.adapters.sqlite.store import SqliteStore, open_checked
from tandem_gateway.adapters.sqlite.writer import WriterEvents
from tandem_gateway.adapters.sqlite.writes import Limits
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.answers import AnswerLimits
from tandem_gateway.embedder_tls import load_tls
from tandem_gateway.http.ingest_body import IngestReader
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.litestar_app import Lifespan, make_litestar, routed_exactly
from tandem_gateway.http.routes import hot_endpoints
from tandem_gateway.index.builder import Sizes
from tandem_gateway.index.index_thread import IndexThread
from tandem_gateway.lifecycle import Gateway, OpenStore, UseCases
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.canary.evaluation import RollbackLimits
from tandem_gateway.use_cases.canary.records import CanaryEvents, CanarySettings
from tandem_gateway.use_cases.canary.router import CanaryRouter
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.dense_search import DenseSearch, DenseSearchEvents
from tandem_gateway.use_cases.documents import Documents
from tandem_gateway.use_cases.embedding_worker import EmbeddingEvents, EmbeddingWorker
from tandem_gateway.use_cases.ingest import Ingest
from tandem_gateway.use_cases.search_pipeline import SearchPipeline, SearchPipelineEvents
from tandem_gateway.use_cases.snapshotting import SnapshotPolicy
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.access_log import AccessLog, make_access_log
from tandem_runtime.edge import edge
from tandem_runtime.http import Endpoint, route_by_path
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.origin import OriginRules, allowed_hosts
from tandem_runtime.request_id import AsgiApp

log = logging.getLogger(__name__)

# Seconds that a startup waits for a snapshot helper of a previous gateway.
_SNAPSHOT_LOCK_SECONDS = 60.0
# Connections in addition to those for queries and documents, for the readiness probe.
_SPARE_CONNECTIONS = 2


def open_store(settings: Settings, metrics: Metrics, memory: MemoryBudget) -> OpenStore:
    """Lock the data directory, check its store and load its index; blocks.

    Raises:
        StorageError: the data directory is in use, unusable or damaged.
    """
    data_dir = settings.data_dir
    owner = DataLock(data_dir, OWNER)
    try:
        for path in keep_private(data_dir):
            log.warning("other users could read it; they cannot any more", extra={"path": str(path)})
        connection, notices = open_checked(data_dir)
        answer_limits = AnswerLimits(settings.max_answer_bytes, memory)
        index = IndexThread(
            lambda: SqliteChangeFeed(data_dir / FILE_NAME, lambda: store.commits),
            Snapshots(data_dir),
            UsearchGraphFactory(),
            answer_limits,
            sizes=Sizes(graph=settings.exact_below),
            on_search=lambda seconds, queries: metrics.searches.index_duration.observe(seconds),
        )

        lexical = LexicalThread(
            data_dir,
            max_queued=settings.max_queued_queries,
            limits=answer_limits,
            on_search=metrics.searches.lexical_duration.observe,
            on_truncation=partial(metrics.documents.log_truncated, "keyword_index"),
        )

        def on_commit(seconds: float, writes: int) -> None:
            metrics.documents.commit_duration.observe(seconds)
            metrics.documents.writes_per_commit.observe(writes)
            index.notify()
            lexical.notify()

        store = SqliteStore(
            data_dir,
            connection,
            limits=Limits(settings.max_collections, settings.max_pending_documents, settings.max_finished_jobs),
            max_queued_writes=settings.max_queued_writes,
            write_timeout=settings.write_timeout,
            batch_bytes=settings.bulk_batch_bytes,
            events=WriterEvents(on_commit, partial(metrics.documents.log_truncated, "store")),
        )

        def close() -> None:
            index.close()
            lexical.close()
            store.close()
            owner.release()

        try:
            helper = DataLock(data_dir, SNAPSHOT, wait=_SNAPSHOT_LOCK_SECONDS)
            try:
                notices += index.start().result()
            finally:
                helper.release()
            notices += lexical.start().result()
        except BaseException:
            index.close()
            lexical.close()
            store.close()
            raise
    except BaseException:
        owner.release()
        raise
    return OpenStore(store, index, lexical, SnapshotProcess(data_dir, settings.exact_below), notices, close)


def request_limits(settings: Settings) -> RequestLimits:
    """Return the limits of one request."""
    return RequestLimits(
        documents=settings.max_documents,
        text_chars=settings.max_text_chars,
        metadata_bytes=settings.max_metadata_bytes,
        query_chars=settings.max_query_chars,
        top_k=settings.max_top_k,
    )


def build_use_cases(settings: Settings, storage: OpenStore, embedder: Embedder, metrics: Metrics) -> UseCases:
    """Build the use cases."""
    limits = request_limits(settings)
    embedding = EmbeddingWorker(
        storage.store,
        embedder,
        batch=settings.bulk_batch,
        calls=settings.bulk_calls,
        timeout=settings.bulk_timeout,
        events=EmbeddingEvents(
            embedded=metrics.documents.embedded.inc,
            truncated=metrics.documents.truncated.inc,
            unreadable=metrics.documents.unreadable.inc,
            failed=metrics.documents.failed.inc,
            retried=metrics.documents.backed_off,
            mismatched=metrics.documents.fingerprint_mismatches.inc,
        ),
    )
    dense_search = DenseSearch(
        embedder,
        storage.index,
        request_limits=limits,
        coalescing=CoalescingLimits(settings.query_batch, settings.query_calls),
        max_queued=settings.max_queued_queries,
        timeout=settings.search_timeout,
        cached_vectors=settings.query_cache,
        events=DenseSearchEvents(
            called=metrics.searches.queries_per_call.observe,
            known=metrics.searches.vector_cache_hits.inc,
            mismatched=metrics.documents.fingerprint_mismatches.inc,
        ),
    )
    search_pipeline = SearchPipeline(
        dense_search,
        storage.lexical,
        request_limits=limits,
        timeout=settings.search_timeout,
        events=SearchPipelineEvents(
            answered=metrics.searches.answered,
            degraded=metrics.searches.degraded.inc,
            truncated=metrics.searches.truncated_queries.inc,
            unreadable=metrics.searches.unreadable_queries.inc,
        ),
    )
    return UseCases(
        dense_search=dense_search,
        search_pipeline=search_pipeline,
        ingest=Ingest(storage.store, on_accepted=embedding.notify),
        documents=Documents(storage.store, on_changed=storage.index.notify),
        embedding=embedding,
    )


def build_pool(
    name: str, urls: str, settings: Settings, metrics: Metrics, *, tls: Tls | None = None, identify: bool
) -> EmbedderPool:
    """Return a pool of the embedders at these URLs, which are separated by commas; see ``PoolSettings``."""
    # The balancer spreads calls nearly evenly, so allow each replica twice its share.
    connections = 2 * (settings.query_calls + settings.bulk_calls) + _SPARE_CONNECTIONS

    def connect(address: Address) -> HttpEmbedder:
        client = Http1Transport(address.url, address=address.ip, tls=tls, max_connections=connections)
        return HttpEmbedder(address.label, client, on_call=metrics.embedders.replica_calls(name, address.label))

    return EmbedderPool(
        name,
        urls.split(","),
        connect,
        settings=PoolSettings(attempt=settings.embed_attempt, resolve=settings.resolve_seconds, identify=identify),
        events=PoolEvents(
            retried=partial(metrics.embedders.retried, name),
            ejected=partial(metrics.embedders.ejected, name),
            left=partial(metrics.embedders.forget_replica, name),
            unresolved=partial(metrics.embedders.unresolved, name),
        ),
    )


def build_canary_router(
    settings: Settings, metrics: Metrics, stable: EmbedderPool, canary: EmbedderPool | None
) -> CanaryRouter:
    """Return the router that shares the calls between the pools."""
    return CanaryRouter(
        stable,
        canary,
        settings=CanarySettings(
            RollbackLimits(
                error_rate=settings.rollback_error_rate,
                p95_ratio=settings.rollback_p95_ratio,
                cosine=settings.rollback_cosine,
                samples=settings.rollback_samples,
                window=settings.rollback_window,
            ),
            attempt=settings.embed_attempt,
            canary_weight=settings.canary_weight,
            shadow_percent=settings.shadow_percent,
        ),
        events=CanaryEvents(
            set_shares=metrics.canary.set_shares,
            answered=metrics.canary.answered,
            fell_back=metrics.canary.fell_back,
            rolled_back=metrics.canary.rolled_back,
            shadowed=metrics.canary.shadowed,
            cosine=metrics.canary.shadow_cosine.observe,
            difference=metrics.canary.shadow_difference.observe,
        ),
    )


@dataclass(frozen=True, slots=True)
class GatewayComponents:
    """A gateway and its components."""

    gateway: Gateway
    pools: Sequence[EmbedderPool]
    traffic: CanaryRouter
    metrics: Metrics
    memory: MemoryBudget


def build_gateway(settings: Settings) -> GatewayComponents:
    """Build the gateway.

    Raises:
        SettingsError: a TLS file cannot be used.
    """
    tls = load_tls(settings)
    metrics = Metrics(__version__)
    stable = build_pool("stable", settings.embedder_url, settings, metrics, tls=tls, identify=False)
    canary = None
    if settings.canary_url:
        canary = build_pool("canary", settings.canary_url, settings, metrics, tls=tls, identify=True)
    pools = [stable] if canary is None else [stable, canary]
    traffic = build_canary_router(settings, metrics, stable, canary)
    memory = MemoryBudget(settings.max_bytes_in_flight, "TANDEM_MAX_BYTES_IN_FLIGHT")
    gateway = Gateway(
        lambda: open_store(settings, metrics, memory),
        lambda storage: build_use_cases(settings, storage, traffic, metrics),
        traffic,
        metrics,
        pools=pools,
        snapshot_policy=SnapshotPolicy(settings.snapshot_changes, settings.snapshot_seconds),
        job_retention=settings.job_retention,
    )
    return GatewayComponents(gateway, pools, traffic, metrics, memory)


@dataclass(frozen=True, slots=True)
class Routes:
    """What serves requests.

    Attributes:
        hot: endpoints of fixed paths, which are served before Litestar.
        others: application that serves every other path, and the lifespan.
    """

    hot: Sequence[Endpoint]
    others: AsgiApp


def build_routes(
    gateway: Gateway,
    settings: Settings,
    memory: MemoryBudget,
    lifespan: Lifespan,
    traffic: CanaryRouter | None = None,
) -> Routes:
    """Build the routes.

    Args:
        gateway: the gateway.
        settings: settings with the limits of requests and the operators' token.
        memory: memory budget of all requests.
        lifespan: starts and stops the gateway.
        traffic: what operators change; None leaves their routes out.
    """
    limits = request_limits(settings)
    bodies = BodyLimits(settings.max_body_bytes, settings.max_search_body_bytes, settings.max_answer_bytes, memory)
    reader = IngestReader(limits, timeout=settings.write_timeout)
    operators = None if traffic is None else (traffic, settings.admin_token)
    litestar = make_litestar(gateway, limits, bodies, reader, operators, lifespan)
    return Routes(hot_endpoints(gateway, bodies), routed_exactly(litestar))


def compose_app(routes: Routes, settings: Settings, metrics: Metrics, log: AccessLog | None) -> AsgiApp:
    """Put the routes behind host checks, metrics, access log and request ids.

    Args:
        routes: the routes.
        settings: settings with the allowed hosts.
        metrics: metrics that observe each request.
        log: the access log; None if it is off.
    """
    apps: dict[str, AsgiApp] = {endpoint.template: endpoint for endpoint in routes.hot}
    observers = [metrics.requests.observe] if log is None else [metrics.requests.observe, log.record]
    hosts = allowed_hosts(settings.host, settings.allowed_hosts)
    origin = OriginRules(hosts, "TANDEM_ALLOWED_HOSTS")
    return edge(route_by_path(apps, routes.others), origin=origin, observers=observers)


def make_app(settings: Settings, on_failure: Callable[[], None], *, hot_routes: bool = True) -> tuple[AsgiApp, Gateway]:
    """Build the gateway; return its ASGI application and the gateway.

    Args:
        settings: the gateway's settings.
        on_failure: called if the startup fails, to end the server.
        hot_routes: whether hot routes are served before Litestar. A test compares both ways.

    Raises:
        SettingsError: a TLS file cannot be used.
    """
    components = build_gateway(settings)
    gateway, metrics = components.gateway, components.metrics

    log = make_access_log("gateway", wanted=settings.access_log)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        gateway.start(on_failure)
        try:
            yield
        finally:
            await gateway.stop()
            await components.traffic.stop()
            for pool in components.pools:
                pool.close()
            if log is not None:
                log.flush()

    routes = build_routes(gateway, settings, components.memory, lifespan, components.traffic)
    if not hot_routes:
        routes = Routes((), routes.others)
    return compose_app(routes, settings, metrics, log), gateway
