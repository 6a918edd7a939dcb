"""Every setting of the gateway, with what it does to memory, latency and back-pressure."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tandem_contract.service.settings import boolean, names, number, one_of, seconds, setting, whole_number


def _urls(text: str) -> str:
    found = [url.strip().rstrip("/") for url in text.split(",")]
    for url in found:
        if not url.startswith(("http://", "https://")):
            raise ValueError("a URL that starts with http:// or https:// was expected, or several with commas between")
        parts = urlsplit(url)  # raises ValueError, as .port does, for what is no host or port
        if not parts.hostname or parts.port == 0:
            raise ValueError(f"{url} names no host or port")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"{url} has more than a host, a port and a path")
    return ",".join(dict.fromkeys(found))


def _optional_urls(text: str) -> str:
    return _urls(text) if text else ""


def _token(text: str) -> str:
    if text and not (len(text) >= 16 and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("16 or more printable ASCII characters without a space were expected")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read once at start by ``tandem_contract.service.settings.read``."""

    host: str = setting("GATEWAY_HOST", "127.0.0.1", str, "address to listen on")
    port: int = setting("GATEWAY_PORT", 8000, whole_number(0, 65535), "port to listen on")
    embedder_url: str = setting(
        "EMBEDDER_URL",
        "http://127.0.0.1:8080",
        _urls,
        "where embedders answer: a URL, or several with commas between. A name stands for every address that it has "
        "(the IPv4 ones, or else the IPv6 ones)",
    )
    resolve_seconds: float = setting(
        "RESOLVE_SECONDS",
        5.0,
        seconds(0.05, 3600),
        "time between two questions for the addresses of a name, and longest wait for an answer; without one the "
        "addresses known last are kept",
    )
    embed_attempt: float = setting(
        "EMBED_ATTEMPT_SECONDS",
        2.0,
        seconds(0.05, 300),
        "time that an embedder has for queries before another is asked, or half of what is left if that is less. Only "
        "while another serves. Shorter: a hung one costs less; too short: a busy one is asked in vain",
    )
    canary_url: str = setting(
        "CANARY_URL",
        "",
        _optional_urls,
        "where the canary's embedders answer, in the same form; a second pool, which gets a share of the traffic",
    )
    canary_weight: int = setting(
        "CANARY_WEIGHT",
        0,
        whole_number(0, 100),
        "percent of the embedder calls that the canary gets, of collections with its model; 0 again after a roll-back. "
        "PUT /v1/admin/traffic changes it until the next start",
    )
    shadow_percent: int = setting(
        "CANARY_SHADOW",
        0,
        whole_number(0, 100),
        "percent of stable's query calls that are sent to the canary as well, to compare the two; costs the canary "
        "their work, and no caller any time",
    )
    rollback_error_rate: float = setting(
        "ROLLBACK_ERROR_RATE",
        0.05,
        number(0, 1),
        "share of failed calls over which the canary is rolled back, if stable's share is less",
    )
    rollback_p95_ratio: float = setting(
        "ROLLBACK_P95_RATIO",
        2.0,
        number(1, 1000),
        "95th percentile of the canary's query calls to that of stable's, over which the canary is rolled back",
    )
    rollback_cosine: float = setting(
        "ROLLBACK_COSINE",
        0.99,
        number(-1, 1),
        "5th percentile of the cosines between both pools' vectors of the shadow calls, under which the canary is "
        "rolled back",
    )
    rollback_samples: int = setting(
        "ROLLBACK_SAMPLES",
        50,
        whole_number(2, 2000),
        "least calls, or texts compared, before a limit counts; half as many again have to confirm it",
    )
    rollback_window: float = setting(
        "ROLLBACK_WINDOW_SECONDS", 60.0, seconds(1, 3600), "time for which a call counts for the roll-back"
    )
    admin_token: str = setting(
        "ADMIN_TOKEN",
        "",
        _token,
        "bearer token of operators for /v1/admin; without one that API is off. Better in the variable than in the "
        "flag, which other users of the machine can see",
        secret=True,
    )
    data_dir: Path = setting(
        "DATA_DIR", Path("data"), Path, "folder of the store and the index; one gateway owns it at a time"
    )
    search_timeout: float = setting(
        "SEARCH_TIMEOUT_SECONDS",
        10.0,
        seconds(0.05, 300),
        "a search that takes longer is answered 504; the caller's x-request-timeout-ms may shorten it",
    )
    bulk_timeout: float = setting(
        "BULK_TIMEOUT_SECONDS",
        60.0,
        seconds(0.05, 600),
        "time for one embedder call of an ingest, after which it is tried again",
    )
    write_timeout: float = setting(
        "WRITE_TIMEOUT_SECONDS",
        30.0,
        seconds(0.05, 300),
        "an ingest or a deletion that is not on disk by then is answered 504; it may still take effect",
    )
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES", 16 << 20, whole_number(1024, 1 << 30), "larger requests get 413; bounds memory a request"
    )
    max_bytes_in_flight: int = setting(
        "MAX_BYTES_IN_FLIGHT",
        128 << 20,
        whole_number(1 << 20, 1 << 40),
        "memory that requests under way may hold together: bodies, documents until they are on disk, answers until "
        "they are sent; over it a request gets 429. Ingests may hold three quarters. Under 64 KiB nothing counts. "
        "Raise it for many large ingests at a time, with the container's memory limit",
    )
    max_answer_bytes: int = setting(
        "MAX_ANSWER_BYTES",
        16 << 20,
        whole_number(1 << 16, 1 << 30),
        "a search whose documents have more bytes gets 422: ask for fewer with top_k",
    )
    max_connections: int = setting(
        "MAX_CONNECTIONS",
        2048,
        whole_number(1, 1_000_000),
        "open connections; over it a new one takes the place of the one that waits longest for a request, or gets 503 "
        "if none waits. Bounds the memory of heads and small bodies, up to 128 KiB each. Keep it under the limit of "
        "open files",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "ALLOWED_HOSTS",
        (),
        names,
        "names that a request's Host header may have, with commas between; those of the loopback are always allowed. "
        "Without any, a gateway on a loopback address answers to those alone, and any other to every name. Protects "
        "against DNS rebinding: set it wherever browsers can reach the gateway",
    )
    max_documents: int = setting(
        "MAX_DOCUMENTS_PER_REQUEST",
        10_000,
        whole_number(1, 1_000_000),
        "more documents in one ingest get 422; bounds the time of one commit",
    )
    max_text_chars: int = setting(
        "MAX_TEXT_CHARS",
        100_000,
        whole_number(1, 10_000_000),
        "longer documents get 422; split them. Raise the embedders' setting first: a text that they refuse fails in "
        "its job",
    )
    max_metadata_bytes: int = setting(
        "MAX_METADATA_BYTES", 16_384, whole_number(2, 1 << 20), "larger metadata of a document, as JSON, gets 422"
    )
    max_query_chars: int = setting(
        "MAX_QUERY_CHARS",
        8192,
        whole_number(1, 1_000_000),
        "longer queries get 422. A search's body may have eight times as many bytes, and 4,096 at least",
    )
    max_top_k: int = setting("MAX_TOP_K", 1000, whole_number(1, 10_000), "a larger top_k gets 422")
    max_collections: int = setting(
        "MAX_COLLECTIONS", 100, whole_number(1, 100_000), "collections at the most; each has an index in memory"
    )
    max_pending_documents: int = setting(
        "MAX_PENDING_DOCUMENTS",
        1_000_000,
        whole_number(1, 1_000_000_000),
        "documents that may wait, on disk, to be embedded; over it an ingest gets 429",
    )
    max_queued_writes: int = setting(
        "MAX_QUEUED_WRITES",
        256,
        whole_number(1, 100_000),
        "writes that may wait for the disk; over it a request gets 429; each holds its documents in memory",
    )
    max_queued_queries: int = setting(
        "MAX_QUEUED_QUERIES",
        1024,
        whole_number(1, 1_000_000),
        "searches that may wait for the embedder, and as many for the lexical index; over it a search gets 429",
    )
    query_batch: int = setting(
        "QUERY_BATCH_SIZE", 32, whole_number(1, 1024), "queries in one embedder call at the most"
    )
    query_calls: int = setting(
        "QUERY_CALLS_IN_FLIGHT",
        3,
        whole_number(1, 64),
        "embedder calls for queries at a time, for each embedder that serves; what arrives meanwhile is coalesced. One "
        "more than an embedder has workers keeps them busy; many more make small batches",
    )
    query_cache: int = setting(
        "QUERY_CACHE_SIZE",
        1024,
        whole_number(0, 10_000_000),
        "recent queries whose vectors are kept, so that the same query again needs no embedder; about 2 kB each",
    )
    bulk_batch: int = setting(
        "BULK_BATCH_SIZE", 32, whole_number(1, 1024), "documents in one embedder call, and in one commit of vectors"
    )
    bulk_batch_bytes: int = setting(
        "BULK_BATCH_BYTES",
        4 << 20,
        whole_number(1024, 1 << 30),
        "UTF-8 bytes of the documents in one embedder call; a larger document goes alone. Keep it under the embedders' "
        "TANDEM_MAX_BODY_BYTES, which refuse a larger call. Lower it to save memory where documents are large",
    )
    bulk_calls: int = setting(
        "BULK_CALLS_IN_FLIGHT",
        2,
        whole_number(1, 64),
        "embedder calls for documents at a time, for each embedder that serves",
    )
    exact_below: int = setting(
        "EXACT_BELOW",
        5_000,
        whole_number(1, 1_000_000),
        "a collection with fewer vectors has no graph: each query is compared with all of them, at about 0.1 ms for "
        "1,000. Raise it for exact results in larger collections, at that price",
    )
    snapshot_changes: int = setting(
        "SNAPSHOT_CHANGES",
        5_000,
        whole_number(1, 1_000_000_000),
        "new vectors in a collection after which they are added to its graph and the graph is saved. Until then each "
        "query is compared with all of them: more make searches slower, fewer save more often",
    )
    snapshot_seconds: float = setting(
        "SNAPSHOT_SECONDS", 300.0, seconds(0.1, 86_400), "time after which a changed index is saved"
    )
    job_retention: float = setting(
        "JOB_RETENTION_SECONDS", 2_592_000.0, seconds(60, 1e9), "finished jobs are forgotten after this time"
    )
    max_finished_jobs: int = setting(
        "MAX_FINISHED_JOBS",
        100_000,
        whole_number(1, 1_000_000_000),
        "finished jobs that are kept, the newest; GET of an older one gets 404. About 200 bytes each, all of which a "
        "start checks. Raise it if clients look at jobs long after many others",
    )
    shutdown_timeout: float = setting(
        "SHUTDOWN_TIMEOUT_SECONDS",
        20.0,
        seconds(0.1, 600),
        "time that requests under way have at SIGTERM; keep it under the orchestrator's grace period",
    )
    log_level: str = setting(
        "LOG_LEVEL", "info", one_of("debug", "info", "warning", "error"), "least level that is logged"
    )
    access_log: bool = setting("ACCESS_LOG", True, boolean, "log one line a request")

    @property
    def max_search_body_bytes(self) -> int:
        """Bytes that the body of a search may have: eight a character of the longest query, 64 KiB by default."""
        return max(4096, 8 * self.max_query_chars)

    def __post_init__(self) -> None:
        """Check what no single setting can.

        Raises:
            ValueError: names the variables and the rule.
        """
        if self.max_documents > self.max_pending_documents:
            raise ValueError("TANDEM_MAX_DOCUMENTS_PER_REQUEST must not exceed TANDEM_MAX_PENDING_DOCUMENTS")
        if (self.canary_weight or self.shadow_percent) and not self.canary_url:
            raise ValueError("TANDEM_CANARY_WEIGHT and TANDEM_CANARY_SHADOW need TANDEM_CANARY_URL")
        if self.max_bytes_in_flight < 2 * max(self.max_body_bytes, self.max_answer_bytes):
            raise ValueError(
                "TANDEM_MAX_BYTES_IN_FLIGHT must be at least twice TANDEM_MAX_BODY_BYTES and TANDEM_MAX_ANSWER_BYTES"
            )
        if self.query_batch > self.max_queued_queries:
            raise ValueError("TANDEM_QUERY_BATCH_SIZE must not exceed TANDEM_MAX_QUEUED_QUERIES")
