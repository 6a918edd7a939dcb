"""Builds the reranker."""

from tandem_gateway.adapters.reranking.cosine import CosineLimits, CosineReranker, QueryVectors
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.ports.reranker import Reranker
from tandem_gateway.settings import Settings


def build_reranker(settings: Settings, queries: QueryVectors, embedder: Embedder) -> Reranker:
    """Return the reranker.

    Args:
        settings: the gateway's settings.
        queries: embeds queries.
        embedder: embeds documents.
    """
    limits = CosineLimits(settings.bulk_batch, settings.bulk_batch_bytes, settings.bulk_calls)
    return CosineReranker(queries, embedder, limits)
