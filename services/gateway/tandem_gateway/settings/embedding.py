"""The calls to the embedders for queries and documents: batches, concurrency, queues and timeouts."""

from dataclasses import dataclass

from tandem_runtime.settings import boolean, names, seconds, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions:
    """The calls to the embedders for queries and documents: batches, concurrency, queues and timeouts."""

    bulk_timeout: float = setting(
        "BULK_TIMEOUT_SECONDS",
        60.0,
        seconds(0.05, 600),
        "Timeout of one embedder call for documents, after which the gateway retries. It holds for each 16,384"
        " characters of long documents. Raise it for slow embedders or large batches; "
        "lower it to retry sooner when an embedder hangs",
    )
    max_queued_queries: int = setting(
        "MAX_QUEUED_QUERIES",
        1024,
        whole_number(1, 1_000_000),
        "Maximum number of searches that wait for the embedder, and as many for the keyword index; beyond it a "
        "search gets 429. Raise it for bursts of searches; lower it to shorten the longest wait",
    )
    query_batch: int = setting(
        "QUERY_BATCH_SIZE",
        32,
        whole_number(1, 1024),
        "Maximum number of queries in one embedder call. Raise it for more throughput under load; lower it for "
        "shorter calls",
    )
    query_calls: int = setting(
        "QUERY_CALLS_IN_FLIGHT",
        3,
        whole_number(1, 64),
        "Maximum number of concurrent query calls per embedder in rotation. Queries that arrive meanwhile share "
        "the next call. Best at one more than an embedder has workers. Raise it for embedders with more workers; "
        "lower it for larger batches",
    )
    query_cache: int = setting(
        "QUERY_CACHE_SIZE",
        1024,
        whole_number(0, 10_000_000),
        "Number of recent queries whose vectors are cached, at about 2 kB each. A cached query needs no embedder."
        " Raise it if queries repeat; 0 turns the cache off",
    )
    bulk_batch: int = setting(
        "BULK_BATCH_SIZE",
        32,
        whole_number(1, 1024),
        "Maximum number of documents in one embedder call, and in one commit of vectors. Raise it for fewer "
        "calls; lower it for shorter calls",
    )
    bulk_batch_bytes: int = setting(
        "BULK_BATCH_BYTES",
        4 << 20,
        whole_number(1024, 1 << 30),
        "Maximum UTF-8 bytes of the documents in one embedder call; a larger document goes alone. Stay below the "
        "embedders' TANDEM_EMBEDDER_MAX_BODY_BYTES, or they refuse the call. Lower it to save memory if documents are "
        "large",
    )
    bulk_calls: int = setting(
        "BULK_CALLS_IN_FLIGHT",
        2,
        whole_number(1, 64),
        "Maximum number of concurrent document calls per embedder in rotation. Raise it for embedders with more "
        "workers; lower it to leave more CPU to searches",
    )
    embeddings_timeout: float = setting(
        "EMBEDDINGS_TIMEOUT_SECONDS",
        120.0,
        seconds(0.05, 600),
        "Deadline of a request for vectors, with its wait for others; a late one gets 504. The header "
        "x-request-timeout-ms can shorten it. Raise it for slow embedders and large bursts; lower it to fail sooner",
    )
    model_aliases: tuple[str, ...] = setting(
        "MODEL_ALIASES",
        (),
        names,
        "Other names of the served model, separated by commas, such as text-embedding-3-small. The routes for vectors "
        "list them, and take them with TANDEM_STRICT_MODEL",
    )
    strict_model: bool = setting(
        "STRICT_MODEL",
        False,
        boolean,
        "Refuse requests for vectors that ask for another model than the served one, with 404, and requests to rerank "
        "with 422. Otherwise the served model answers them, and the reply names it",
    )
    matryoshka: bool = setting(
        "MATRYOSHKA",
        False,
        boolean,
        "The model was trained so that the first numbers of a vector are a vector of their own. Requests may then ask "
        "for fewer dimensions. all-MiniLM-L6-v2 was not",
    )
