"""The limits and deadlines of requests."""

from dataclasses import dataclass

from tandem_runtime.settings import seconds, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """The limits and deadlines of requests."""

    search_timeout: float = setting(
        "SEARCH_TIMEOUT_SECONDS",
        10.0,
        seconds(0.05, 300),
        "Deadline of a search; a late search gets 504. The header x-request-timeout-ms can shorten it. Raise it "
        "for slow models; lower it to fail sooner under load",
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
    compress_min_bytes: int = setting(
        "COMPRESS_MIN_BYTES",
        64 << 10,
        whole_number(0, 1 << 30),
        "Size of the smallest reply that is compressed (zstd, gzip) for a client that asks for it; 0 compresses none. "
        "Most clients ask by default, and compression would add 2 to 3 % to the CPU time of an ordinary search. Lower "
        "it, to 1024 for example, for clients behind a slow network; turn it off behind a proxy that compresses",
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
        "embedders' setting: a text that they refuse fails in its job. Lower it to bound the "
        "work of one document",
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

    @property
    def max_search_body_bytes(self) -> int:
        """Bytes that the body of a search may have: eight a character of the longest query, 64 KiB by default."""
        return max(4096, 8 * self.max_query_chars)
