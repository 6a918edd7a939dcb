"""Every setting of the gateway, with what it does to memory, latency and back-pressure."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tandem_runtime.settings import boolean, names, number, one_of, seconds, setting, whole_number


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


def _optional_file(text: str) -> str:
    if text and not Path(text).is_file():
        raise ValueError("a file that exists was expected")
    if text and not os.access(text, os.R_OK):
        raise ValueError("a file that this user may read was expected")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Read once at start by ``tandem_runtime.settings.read``."""

    host: str = setting("GATEWAY_HOST", "127.0.0.1", str, "Address to listen on")
    port: int = setting("GATEWAY_PORT", 8000, whole_number(0, 65535), "Port to listen on")
    embedder_url: str = setting(
        "EMBEDDER_URL",
        "http://127.0.0.1:8080",
        _urls,
        "URL of the embedders, or several URLs separated by commas. A host name stands for all of its addresses: "
        "its IPv4 addresses, or its IPv6 addresses if it has no IPv4 address",
    )
    resolve_seconds: float = setting(
        "RESOLVE_SECONDS",
        5.0,
        seconds(0.05, 3600),
        "Seconds between two DNS lookups of a host name, and the longest wait for a lookup. If a lookup fails, "
        "the gateway keeps the last known addresses. Lower it to find new embedders sooner; raise it to spare the"
        " DNS server",
    )
    embedder_ca_file: str = setting(
        "EMBEDDER_CA_FILE",
        "",
        _optional_file,
        "PEM file with the certificates of the CAs that sign the embedders' certificates, for URLs that begin with "
        "https://. If it is empty, the gateway trusts the system's CAs. The gateway reads a changed file within "
        "5 seconds; new connections then use it",
    )
    embedder_client_cert_file: str = setting(
        "EMBEDDER_CLIENT_CERT_FILE",
        "",
        _optional_file,
        "PEM file with the certificate that the gateway shows to embedders (mutual TLS), followed by intermediate "
        "certificates. It needs TANDEM_EMBEDDER_CLIENT_KEY_FILE. Read again like TANDEM_EMBEDDER_CA_FILE",
    )
    embedder_client_key_file: str = setting(
        "EMBEDDER_CLIENT_KEY_FILE",
        "",
        _optional_file,
        "PEM file with the private key of TANDEM_EMBEDDER_CLIENT_CERT_FILE, without a passphrase. Only the gateway's "
        "user should be able to read it",
    )
    embed_attempt: float = setting(
        "EMBED_ATTEMPT_SECONDS",
        2.0,
        seconds(0.05, 300),
        "Seconds to wait for one embedder before retrying the query on another, at most half of the remaining "
        "deadline. It applies only while another embedder is available. Lower it to lose less time to a hung "
        "embedder; raise it if busy embedders are abandoned too early",
    )
    canary_url: str = setting(
        "CANARY_URL",
        "",
        _optional_urls,
        "URL of the canary, a second pool of embedders that gets a share of the traffic; same form as "
        "TANDEM_EMBEDDER_URL",
    )
    canary_weight: int = setting(
        "CANARY_WEIGHT",
        0,
        whole_number(0, 100),
        "Percentage of embedder calls that go to the canary, for collections with its model. A rollback sets it "
        "to 0. PUT /v1/admin/traffic changes it until the next start",
    )
    shadow_percent: int = setting(
        "CANARY_SHADOW",
        0,
        whole_number(0, 100),
        "Percentage of the stable pool's query calls that the gateway also sends to the canary, to compare the "
        "two. Clients never wait for these calls. Raise it to compare sooner; lower it to save the canary work",
    )
    rollback_error_rate: float = setting(
        "ROLLBACK_ERROR_RATE",
        0.05,
        number(0, 1),
        "Roll back when this share of the canary's calls fails, and a smaller share of the stable pool's calls. "
        "Raise it to tolerate more errors; lower it to roll back sooner",
    )
    rollback_p95_ratio: float = setting(
        "ROLLBACK_P95_RATIO",
        2.0,
        number(1, 1000),
        "Roll back when the canary's p95 latency exceeds the stable pool's p95 by this factor. Raise it for a "
        "canary on slower hardware; lower it to roll back sooner",
    )
    rollback_cosine: float = setting(
        "ROLLBACK_COSINE",
        0.99,
        number(-1, 1),
        "Roll back when the 5th percentile of the cosine similarity between both pools' vectors is below this "
        "value. Only shadow calls are compared. Lower it to accept larger differences",
    )
    rollback_samples: int = setting(
        "ROLLBACK_SAMPLES",
        50,
        whole_number(2, 2000),
        "Minimum number of calls, or compared texts, before a rollback limit applies. Half as many further calls "
        "must confirm the breach. Raise it against false alarms; lower it to roll back after fewer bad calls",
    )
    rollback_window: float = setting(
        "ROLLBACK_WINDOW_SECONDS",
        60.0,
        seconds(1, 3600),
        "Seconds for which a call counts towards a rollback. Raise it if the canary gets few calls; lower it to "
        "forget old calls sooner",
    )
    admin_token: str = setting(
        "ADMIN_TOKEN",
        "",
        _token,
        "Bearer token for /v1/admin. Without a token that API is off. Prefer the variable: other users of the "
        "machine can see command-line flags",
        secret=True,
    )
    data_dir: Path = setting(
        "DATA_DIR", Path("data"), Path, "Directory of the store and the indexes. One gateway at a time owns it"
    )
    search_timeout: float = setting(
        "SEARCH_TIMEOUT_SECONDS",
        10.0,
        seconds(0.05, 300),
        "Deadline of a search; a late search gets 504. The header x-request-timeout-ms can shorten it. Raise it "
        "for slow models; lower it to fail sooner under load",
    )
    bulk_timeout: float = setting(
        "BULK_TIMEOUT_SECONDS",
        60.0,
        seconds(0.05, 600),
        "Timeout of one embedder call for documents, after which the gateway retries. Raise it for slow embedders"
        " or large batches; lower it to retry sooner when an embedder hangs",
    )
    write_timeout: float = setting(
        "WRITE_TIMEOUT_SECONDS",
        30.0,
        seconds(0.05, 300),
        "Deadline of an ingest or deletion. A write that is not on disk by then gets 504 and may still take "
        "effect. Raise it for slow disks; lower it to fail sooner",
    )
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES",
        16 << 20,
        whole_number(1024, 1 << 30),
        "Maximum size of a request body; a larger one gets 413. Raise it for larger ingests; lower it to save "
        "memory per request",
    )
    max_bytes_in_flight: int = setting(
        "MAX_BYTES_IN_FLIGHT",
        128 << 20,
        whole_number(1 << 20, 1 << 40),
        "Memory that all requests in flight may hold: bodies, documents until they are on disk, replies until "
        "they are sent. Beyond it a request gets 429. Ingests may use three quarters. A request under 64 KiB does"
        " not count. Raise it, with the container's memory limit, for many large ingests at a time; lower it to "
        "save memory",
    )
    max_answer_bytes: int = setting(
        "MAX_ANSWER_BYTES",
        16 << 20,
        whole_number(1 << 16, 1 << 30),
        "Maximum size of a search reply; a larger one gets 422, which asks for a smaller top_k. Raise it for "
        "large documents; lower it to save memory",
    )
    max_connections: int = setting(
        "MAX_CONNECTIONS",
        2048,
        whole_number(1, 1_000_000),
        "Maximum number of open connections. Beyond it a new connection replaces the one that has been idle "
        "longest, or gets 503 if none is idle. Headers and small bodies take up to 128 KiB per connection. Raise "
        "it for many clients, but stay below the limit of open files; lower it to save memory",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "ALLOWED_HOSTS",
        (),
        names,
        "Host names that the Host header may have, separated by commas. Loopback names are always allowed. If it "
        "is empty, a gateway on a loopback address accepts loopback names only, and a gateway on any other "
        "address accepts every name. It protects against DNS rebinding: set it wherever browsers can reach the "
        "gateway",
    )
    max_documents: int = setting(
        "MAX_DOCUMENTS_PER_REQUEST",
        10_000,
        whole_number(1, 1_000_000),
        "Maximum number of documents in one ingest; more get 422. Raise it for fewer, larger requests; lower it "
        "to shorten commits",
    )
    max_text_chars: int = setting(
        "MAX_TEXT_CHARS",
        100_000,
        whole_number(1, 10_000_000),
        "Maximum length of a document in characters; a longer one gets 422. Before you raise it, raise the "
        "embedders' setting: a text that they refuse fails in its job. Lower it to make clients split long "
        "documents",
    )
    max_metadata_bytes: int = setting(
        "MAX_METADATA_BYTES",
        16_384,
        whole_number(2, 1 << 20),
        "Maximum size of a document's metadata as JSON; a larger one gets 422. Raise it for richer metadata; "
        "lower it to save disk and memory",
    )
    max_query_chars: int = setting(
        "MAX_QUERY_CHARS",
        8192,
        whole_number(1, 1_000_000),
        "Maximum length of a query in characters; a longer one gets 422. The body of a search may have eight "
        "times as many bytes, and at least 4,096. Raise it for long queries; lower it to save memory",
    )
    max_top_k: int = setting(
        "MAX_TOP_K",
        1000,
        whole_number(1, 10_000),
        "Maximum top_k; a larger one gets 422. Raise it for long result lists; lower it to bound the work of a search",
    )
    max_collections: int = setting(
        "MAX_COLLECTIONS",
        100,
        whole_number(1, 100_000),
        "Maximum number of collections; each has an index in memory. Raise it if you need more; lower it to save "
        "memory",
    )
    max_pending_documents: int = setting(
        "MAX_PENDING_DOCUMENTS",
        1_000_000,
        whole_number(1, 1_000_000_000),
        "Maximum number of stored documents that wait for embedding; beyond it an ingest gets 429. Raise it for "
        "larger backlogs; lower it to slow clients down sooner",
    )
    max_queued_writes: int = setting(
        "MAX_QUEUED_WRITES",
        256,
        whole_number(1, 100_000),
        "Maximum number of writes that wait for the disk; beyond it a request gets 429. Each holds its documents "
        "in memory. Raise it for bursts of writes; lower it to save memory",
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
    exact_below: int = setting(
        "EXACT_BELOW",
        5_000,
        whole_number(1, 1_000_000),
        "A collection with fewer vectors has no graph: the gateway compares each query with all vectors, at about"
        " 0.1 ms per 1,000. Raise it for exact results in larger collections; lower it for faster searches",
    )
    snapshot_changes: int = setting(
        "SNAPSHOT_CHANGES",
        5_000,
        whole_number(1, 1_000_000_000),
        "Number of new vectors in a collection after which the gateway adds them to the graph and saves it. Until"
        " then it compares each query with all of them. Raise it to save less often; lower it for faster searches"
        " during an ingest",
    )
    snapshot_seconds: float = setting(
        "SNAPSHOT_SECONDS",
        300.0,
        seconds(0.1, 86_400),
        "Seconds after which a changed index is saved. Raise it to save less often; lower it for a faster start "
        "after a crash",
    )
    job_retention: float = setting(
        "JOB_RETENTION_SECONDS",
        2_592_000.0,
        seconds(60, 1e9),
        "Seconds after which a finished job is deleted. Raise it if clients look at old jobs; lower it to save disk",
    )
    max_finished_jobs: int = setting(
        "MAX_FINISHED_JOBS",
        100_000,
        whole_number(1, 1_000_000_000),
        "Maximum number of finished jobs that are kept; the oldest are deleted and then get 404. Each takes about"
        " 200 bytes, and each start checks all of them. Raise it if clients look at old jobs after many others; "
        "lower it for a faster start",
    )
    shutdown_timeout: float = setting(
        "SHUTDOWN_TIMEOUT_SECONDS",
        20.0,
        seconds(0.1, 600),
        "Seconds that requests in flight have after SIGTERM. Raise it for long requests, but stay below the "
        "orchestrator's grace period; lower it for a faster stop",
    )
    log_level: str = setting(
        "LOG_LEVEL", "info", one_of("debug", "info", "warning", "error"), "Lowest level that is logged"
    )
    access_log: bool = setting("ACCESS_LOG", True, boolean, "Log one line per request")

    @property
    def embedder_urls(self) -> list[str]:
        """URLs of the embedders of both pools."""
        return [url for url in f"{self.embedder_url},{self.canary_url}".split(",") if url]

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
        if bool(self.embedder_client_cert_file) != bool(self.embedder_client_key_file):
            raise ValueError(
                "TANDEM_EMBEDDER_CLIENT_CERT_FILE and TANDEM_EMBEDDER_CLIENT_KEY_FILE need each other: set both or none"
            )
        for variable, file in (
            ("TANDEM_EMBEDDER_CA_FILE", self.embedder_ca_file),
            ("TANDEM_EMBEDDER_CLIENT_CERT_FILE", self.embedder_client_cert_file),
        ):
            if file and not any(url.startswith("https://") for url in self.embedder_urls):
                raise ValueError(
                    f"{variable} needs a URL that begins with https:// in TANDEM_EMBEDDER_URL or TANDEM_CANARY_URL"
                )
        if self.max_bytes_in_flight < 2 * max(self.max_body_bytes, self.max_answer_bytes):
            raise ValueError(
                "TANDEM_MAX_BYTES_IN_FLIGHT must be at least twice TANDEM_MAX_BODY_BYTES and TANDEM_MAX_ANSWER_BYTES"
            )
        if self.query_batch > self.max_queued_queries:
            raise ValueError("TANDEM_QUERY_BATCH_SIZE must not exceed TANDEM_MAX_QUEUED_QUERIES")
