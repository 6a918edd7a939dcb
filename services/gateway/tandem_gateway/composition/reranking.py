"""Builds the reranker."""

from collections.abc import Callable

from tandem_gateway.adapters.http.transport import Http1Transport
from tandem_gateway.adapters.pool.addresses import Address
from tandem_gateway.adapters.pool.config import PoolEvents, PoolSettings
from tandem_gateway.adapters.reranking.cosine import CosineLimits, CosineReranker, QueryVectors
from tandem_gateway.adapters.reranking.pool import RerankConnection, RerankPool
from tandem_gateway.adapters.reranking.server import ServerLimits, ServerReranker
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.ports.reranker import Reranker
from tandem_gateway.ports.search import Hydrator
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.stored_vectors import StoredVectors

# Connections in addition to those for calls, for the probe.
_SPARE_CONNECTIONS = 2
# TEI and uvicorn's servers keep an idle connection for 5 seconds and more.
_KEEPALIVE_SECONDS = 4.0


def build_rerank_pool(settings: Settings, metrics: Metrics) -> RerankPool | None:
    """Return the pool of the rerank servers; None if there are none."""
    if not settings.reranker_url:
        return None
    from tandem_gateway.adapters.reranking.httpx_connection import (  # noqa: PLC0415 - a start without servers spares httpx2
        HttpxRerankConnection,
    )

    def connect(address: Address) -> RerankConnection:
        client = Http1Transport(
            address.url,
            address=address.ip,
            max_connections=settings.reranker_calls + _SPARE_CONNECTIONS,
            keepalive_seconds=_KEEPALIVE_SECONDS,
        )
        return HttpxRerankConnection(
            address.url,
            client,
            settings.reranker_api,
            token=settings.reranker_token,
            on_call=metrics.reranking.called,
        )

    return RerankPool(
        settings.reranker_url.split(","),
        connect,
        settings=PoolSettings(attempt=settings.embed_attempt, resolve=settings.resolve_seconds),
        events=PoolEvents(
            retried=lambda reason: metrics.reranking.retries.inc(),
            ejected=metrics.reranking.ejected,
            unresolved=metrics.reranking.unresolved.inc,
        ),
    )


def reranks_by_one_model(settings: Settings) -> bool:
    """Return whether one model reranks; servers with Cohere's API choose among theirs by its name."""
    return not settings.reranker_url or settings.reranker_api == "tei"


def build_reranker(
    settings: Settings, queries: QueryVectors, embedder: Embedder, servers: RerankPool | None
) -> Reranker:
    """Return the reranker: that of the servers or, if there are none, by the cosine of vectors.

    Args:
        settings: the gateway's settings.
        queries: embeds queries.
        embedder: embeds documents.
        servers: the rerank servers.
    """
    if servers is None:
        return CosineReranker(
            queries, embedder, CosineLimits(settings.bulk_batch, settings.bulk_batch_bytes, settings.bulk_calls)
        )
    limits = ServerLimits(settings.reranker_batch, settings.reranker_calls)
    return ServerReranker(servers, settings.reranker_api, settings.reranker_model or None, limits)


def build_stored_vectors(
    reranker: Reranker, hydrator: Hydrator, fingerprint: Callable[[str], str | None]
) -> StoredVectors | None:
    """Return what reranks searches by their stored vectors; None if the reranker reads texts."""
    return StoredVectors(reranker, hydrator, fingerprint) if isinstance(reranker, CosineReranker) else None
