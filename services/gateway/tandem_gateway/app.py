"""The composition root: builds the gateway and its ASGI application from the settings."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from tandem_gateway import __version__
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_gateway.adapters.reranking.pool import RerankPool
from tandem_gateway.composition.access import open_access
from tandem_gateway.composition.audit import open_audit
from tandem_gateway.composition.pools import build_canary_router, build_pool
from tandem_gateway.composition.reranking import build_rerank_pool
from tandem_gateway.composition.routes import build_routes, compose_app
from tandem_gateway.composition.store_url import with_store_url
from tandem_gateway.composition.stores import open_store
from tandem_gateway.composition.tokens import build_tokens
from tandem_gateway.composition.use_cases import Hooks, build_use_cases
from tandem_gateway.embedder_tls import load_tls
from tandem_gateway.embedder_token import load_tokens
from tandem_gateway.http.auditing import AuditLog
from tandem_gateway.lifecycle import Gateway, RetentionPolicy
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.canary.router import CanaryRouter
from tandem_gateway.use_cases.canary.sharing import TrafficSharing
from tandem_gateway.use_cases.served_model import served_model
from tandem_gateway.use_cases.snapshotting import SnapshotPolicy
from tandem_runtime.access_log import make_access_log
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.renewal import renewing
from tandem_runtime.request_id import AsgiApp
from tandem_runtime.server_tls import ServerTls, TlsEvents
from tandem_runtime.span_export import ExportEvents
from tandem_runtime.tracing import Tracer
from tandem_runtime.tracing_setup import CLOSE_SECONDS, build_tracer

_FLUSH_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class GatewayComponents:
    """A gateway and its components."""

    gateway: Gateway
    pools: Sequence[EmbedderPool]
    traffic: CanaryRouter
    sharing: TrafficSharing
    metrics: Metrics
    memory: MemoryBudget
    renewals: Sequence[Callable[[], None]] = ()
    """Read changed files again; each blocks."""
    rerank_servers: RerankPool | None = None
    tracer: Tracer | None = None


def build_gateway(settings: Settings) -> GatewayComponents:
    """Build the gateway.

    Raises:
        SettingsError: a TLS or token file cannot be used, nothing protects a gateway that others can reach, or tracing
            is on and its packages are not installed or a variable of OpenTelemetry is wrong.
        StorageError: the API keys cannot be read.
    """
    tls = load_tls(settings)
    tokens = load_tokens(settings)
    metrics = Metrics(__version__)
    tracing_events = ExportEvents(metrics.tracing.exported, metrics.tracing.dropped)
    tracer = build_tracer("gateway", __version__, os.environ, tracing_events, wanted=settings.tracing)
    stable = build_pool("stable", settings.embedder_url, settings, metrics, tls=tls, tokens=tokens)
    canary = None
    if tls is not None:
        tls.watch(metrics.tls.client_expires)
    if settings.canary_url:
        canary = build_pool("canary", settings.canary_url, settings, metrics, tls=tls, tokens=tokens)
    pools = [stable] if canary is None else [stable, canary]
    traffic = build_canary_router(settings, metrics, stable, canary)
    sharing = TrafficSharing(traffic, shared=bool(settings.store_url))
    memory = MemoryBudget(settings.max_bytes_in_flight, "TANDEM_MAX_BYTES_IN_FLIGHT")
    metrics.requests.watch_memory(memory)
    rerank_servers = build_rerank_pool(settings, metrics)
    access = open_access(settings, build_tokens(settings, metrics), metrics.callers)
    spent = access.metering.spent_on if access.metering is not None else lambda job, tokens: None
    gateway = Gateway(
        lambda: open_store(settings, metrics, memory),
        lambda storage: build_use_cases(
            settings,
            storage,
            traffic,
            metrics,
            canary,
            rerank_servers,
            lambda: served_model(stable.state()),
            hooks=Hooks(spent, tracer),
        ),
        traffic,
        metrics,
        pools=pools,
        snapshot_policy=SnapshotPolicy(settings.snapshot_changes, settings.snapshot_seconds),
        retention=RetentionPolicy(settings.job_retention, settings.failed_document_seconds),
        access=access,
    )
    gateway.also_share("traffic", sharing.follow)
    if rerank_servers is not None:
        gateway.also_run("rerank servers", rerank_servers.follow)
    return GatewayComponents(
        gateway, pools, traffic, sharing, metrics, memory, tokens.renewals(), rerank_servers, tracer
    )


def make_app(
    settings: Settings, on_failure: Callable[[], None], *, hot_routes: bool = True, tls: ServerTls | None = None
) -> tuple[AsgiApp, Gateway]:
    """Build the gateway; return its ASGI application and the gateway.

    Args:
        settings: the gateway's settings.
        on_failure: called if the startup fails, to end the server.
        hot_routes: whether hot routes are served before Litestar. A test compares both ways.
        tls: certificate of the server, to renew and to report; None serves plain HTTP.

    Raises:
        SettingsError: a file of a setting cannot be used, nothing protects a gateway that others can reach, the audit
            log cannot be written, or MCP is on and its package is not installed.
        StorageError: the API keys cannot be read.
    """
    settings = with_store_url(settings)
    components = build_gateway(settings)
    gateway, metrics = components.gateway, components.metrics
    renewals = list(components.renewals)
    if tls is not None:
        tls.watch(TlsEvents(metrics.tls.server_expires, metrics.tls.reloaded, metrics.tls.handshake_failed))
        renewals.append(tls.renew)
    audit_writer = open_audit(settings, metrics.audit.lost)
    log = make_access_log("gateway", wanted=settings.access_log)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        gateway.start(on_failure)
        try:
            async with renewing(renewals):
                yield
        finally:
            await gateway.stop()
            await components.traffic.stop()
            for pool in components.pools:
                pool.close()
            if components.rerank_servers is not None:
                components.rerank_servers.close()
            if log is not None:
                log.flush()
            if components.tracer is not None:
                await asyncio.to_thread(components.tracer.close, CLOSE_SECONDS)
            if audit_writer is not None:
                await asyncio.to_thread(audit_writer.flush, _FLUSH_SECONDS)

    routes = build_routes(gateway, settings, components.memory, lifespan, components.sharing, metrics.embeddings)
    routes = replace(routes, tracer=components.tracer)
    if not hot_routes:
        routes = replace(routes, hot=())
    audit = None
    if audit_writer is not None and routes.operations is not None:
        always = bool(settings.audit_log)
        audit = AuditLog(audit_writer.write, routes.operations, gateway.access, always=always)
    app = compose_app(
        routes,
        settings,
        components.memory,
        metrics,
        log,
        gateway.access,
        audit,
        position=lambda: gateway.position,
    )
    return app, gateway
