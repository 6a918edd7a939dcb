"""Builds the pools of embedders, and the router between them."""

from functools import partial

from tandem_gateway.adapters.embedder_client import HttpEmbedder
from tandem_gateway.adapters.http.tls import Tls
from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.pool.pool import EmbedderPool
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.canary.evaluation import RollbackLimits
from tandem_gateway.use_cases.canary.records import CanaryEvents, CanarySettings
from tandem_gateway.use_cases.canary.router import CanaryRouter
from tandem_runtime.tokens import Tokens

# Connections in addition to those for queries and documents, for the readiness probe.
_SPARE_CONNECTIONS = 2


def build_pool(
    name: str,
    urls: str,
    settings: Settings,
    metrics: Metrics,
    *,
    tls: Tls | None = None,
    tokens: Tokens | None = None,
) -> EmbedderPool:
    """Return a pool of the embedders at these URLs, which are separated by commas; see ``PoolSettings``."""
    # The balancer spreads calls nearly evenly, so allow each replica twice its share.
    connections = 2 * (settings.query_calls + settings.bulk_calls) + _SPARE_CONNECTIONS

    def connect(address: Address) -> HttpEmbedder:
        client = Http1Transport(address.url, address=address.ip, tls=tls, max_connections=connections)
        on_call = metrics.embedders.replica_calls(name, address.label)
        return HttpEmbedder(address.label, client, on_call=on_call, tokens=tokens)

    return EmbedderPool(
        name,
        urls.split(","),
        connect,
        settings=PoolSettings(attempt=settings.embed_attempt, resolve=settings.resolve_seconds),
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
