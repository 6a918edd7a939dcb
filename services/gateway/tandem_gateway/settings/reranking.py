"""Reranking: its limits, and the rerank servers if there are any."""

from dataclasses import dataclass

from tandem_runtime.settings import seconds, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class RerankOptions:
    """Reranking: its limits, and the rerank servers if there are any."""

    rerank_timeout: float = setting(
        "RERANK_TIMEOUT_SECONDS",
        30.0,
        seconds(0.05, 600),
        "Deadline of a request to rerank, and the longest that a search waits for its reranking; a late request gets "
        "504. The header x-request-timeout-ms can shorten it. Raise it for slow models or many documents; lower it to "
        "fail sooner",
    )
    max_rerank_documents: int = setting(
        "MAX_RERANK_DOCUMENTS",
        1000,
        whole_number(1, 10_000),
        "Maximum number of documents in one request to rerank, and of the hits of a search that are reranked; more get "
        "422. Raise it for longer lists; lower it to bound the work of a request",
    )
    max_rerank_body_bytes: int = setting(
        "MAX_RERANK_BODY_BYTES",
        2 << 20,
        whole_number(1024, 64 << 20),
        "Maximum size of the body of a request to rerank; a larger one gets 413. Raise it for longer documents; a body "
        "of a million tiny ones then holds the gateway for longer. Lower it to save memory per request",
    )
