"""Reranking: its limits, and the rerank servers if there are any."""

from dataclasses import dataclass
from typing import Literal

from tandem_gateway.settings.parsers import bearer, optional_urls
from tandem_runtime.settings import one_of, seconds, setting, whole_number

RerankApi = Literal["tei", "cohere"]


@dataclass(frozen=True, kw_only=True)
class RerankOptions:
    """Reranking: its limits, and the rerank servers if there are any."""

    reranker_url: str = setting(
        "RERANKER_URL",
        "",
        optional_urls,
        "URL of the rerank servers, in the form of TANDEM_EMBEDDER_URL; all of them serve the same model. A path that "
        "ends with /rerank is used as it is, any other gets the API's path. If it is empty, the gateway reranks by the "
        "cosine of the embedder's vectors",
    )
    reranker_api: RerankApi = setting(
        "RERANKER_API",
        "tei",
        one_of("tei", "cohere"),
        "API of the rerank servers: tei (Text Embeddings Inference, /rerank) or cohere (also Jina and vLLM, "
        "/v2/rerank)",
    )
    reranker_model: str = setting(
        "RERANKER_MODEL",
        "",
        str,
        "Name of the rerank servers' model. With the API cohere, calls ask for it unless a request names another. With "
        "tei, it is the only name that a request may have",
    )
    reranker_token: str = setting(
        "RERANKER_TOKEN",
        "",
        bearer,
        "Bearer token of the calls to the rerank servers; empty for none. Prefer the variable: other users of the "
        "machine can see command-line flags",
        secret=True,
    )
    reranker_batch: int = setting(
        "RERANKER_BATCH_SIZE",
        32,
        whole_number(1, 1024),
        "Maximum number of documents in one call to a rerank server. Stay within the server's limit (TEI's "
        "--max-client-batch-size, 32 by default). Raise it for fewer calls; lower it for shorter ones",
    )
    reranker_calls: int = setting(
        "RERANKER_CALLS_IN_FLIGHT",
        8,
        whole_number(1, 256),
        "Maximum number of concurrent calls to the rerank servers; others wait within their deadline. Raise it for "
        "more servers; lower it to spare them",
    )
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
        "Maximum size of the body of a request to rerank; a larger one gets 413, and so does one of more than half of "
        "TANDEM_MAX_BYTES_IN_FLIGHT. Raise it for longer documents; a body "
        "of a million tiny ones then holds the gateway for longer. Lower it to save memory per request",
    )
