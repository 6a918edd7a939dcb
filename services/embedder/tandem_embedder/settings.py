"""The embedder's settings: one frozen object, read once at start, and the rules between them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tandem_embedder.batching.batch_queue import BatchLimits
from tandem_embedder.model.prepared_model import Manifest
from tandem_runtime.server_tls import check_server_tls
from tandem_runtime.settings import boolean, names, one_of, readable_file, seconds, setting, whole_number
from tandem_runtime.tokens import parse_tokens


@dataclass(frozen=True)
class Settings:
    """The settings of ``python -m tandem_embedder``; each field is a variable ``TANDEM_...`` and a flag."""

    host: str = setting("EMBEDDER_HOST", "127.0.0.1", str, "Address to listen on")
    port: int = setting("EMBEDDER_PORT", 8080, whole_number(1, 65535), "Port to listen on")
    model_dir: Path = setting(
        "MODEL_DIR",
        Path("models/all-MiniLM-L6-v2"),
        Path,
        "Directory made by python -m tandem_embedder.prepare; read, never written",
    )
    precision: str = setting(
        "PRECISION",
        "auto",
        one_of("auto", "int8", "fp32"),
        "Precision of the model. int8 is about twice as fast and takes two thirds of the memory; fp32 is the "
        "reference. auto serves int8 if the model was prepared for it, else fp32. On a CPU that computes int8 "
        "wrong (x86 without VNNI) the embedder logs a warning and serves fp32. Set fp32 on all machines if only "
        "some have VNNI: the two have different fingerprints and are never mixed",
    )
    threads: int = setting(
        "THREADS",
        1,
        whole_number(1, 256),
        "Threads that compute one batch. One is best for queries and throughput: texts are short, and threads "
        "that share a batch cost half as much CPU again. Raise it to shorten a single long text",
    )
    workers: int = setting(
        "WORKERS",
        0,
        whole_number(0, 64),
        "Number of batches computed at the same time. 0 takes the CPUs that the cgroup quota and the affinity "
        "allow, divided by TANDEM_THREADS. Queries that find all workers busy with bulk get half as many more. A "
        "higher number throttles and takes more memory; lower it to leave CPU to other processes",
    )
    max_batch_tokens: int = setting(
        "MAX_BATCH_TOKENS",
        512,
        whole_number(8, 1_000_000),
        "Maximum tokens in one run of the model, padding included. Raise it for a little more throughput; it "
        "takes more memory (about 50 MiB from 512 to 1024), and queries wait longer for the batch before them. "
        "Lower it to save memory",
    )
    max_bulk_batch_tokens: int = setting(
        "MAX_BULK_BATCH_TOKENS",
        160,
        whole_number(8, 1_000_000),
        "The same for texts with priority bulk. A higher number is hardly faster and takes more memory. Lower it "
        "if queries wait too long during an ingest",
    )
    bulk_percent: int = setting(
        "BULK_PERCENT",
        20,
        whole_number(0, 90),
        "Minimum percentage of the work that bulk gets while queries wait. Raise it for a faster ingest; lower it"
        " for faster queries. At 0 a flood of queries stops the ingest",
    )
    max_queued_tokens: int = setting(
        "MAX_QUEUED_TOKENS",
        32_768,
        whole_number(8, 100_000_000),
        "Maximum tokens that wait in the queue; beyond it a request gets 429 with Retry-After. Bulk may fill "
        "three quarters. Raise it for bursts, at the price of longer waits; lower it to refuse sooner",
    )
    max_client_batch_size: int = setting(
        "MAX_CLIENT_BATCH_SIZE",
        64,
        whole_number(1, 100_000),
        "Maximum number of texts in one request; more get 422. Raise it for clients with large batches; lower it "
        "to bound the work of one request",
    )
    max_text_chars: int = setting(
        "EMBEDDER_MAX_TEXT_CHARS",
        100_000,
        whole_number(1, 100_000_000),
        "Maximum length of a text in characters; a longer one gets 422. The tokenizer reads the whole text before"
        " it is truncated, at about two million characters per second. Raise it for long texts; lower it to bound"
        " the tokenizer's work",
        former="MAX_TEXT_CHARS",
    )
    max_body_bytes: int = setting(
        "EMBEDDER_MAX_BODY_BYTES",
        8_388_608,
        whole_number(64, 1_000_000_000),
        "Maximum size of a request body; a larger one gets 413. A request is held in memory up to this size. "
        "Raise it for larger batches; lower it to save memory",
        former="MAX_BODY_BYTES",
    )
    max_bytes_in_flight: int = setting(
        "EMBEDDER_MAX_BYTES_IN_FLIGHT",
        64 << 20,
        whole_number(64, 1 << 40),
        "Memory that the bodies and texts of all requests in flight may hold; beyond it a request gets 429. A "
        "request under 64 KiB does not count. Raise it, with the container's memory limit, for many large batches"
        " at a time; lower it to save memory",
    )
    max_connections: int = setting(
        "EMBEDDER_MAX_CONNECTIONS",
        2048,
        whole_number(1, 1_000_000),
        "Maximum number of open connections. Beyond it a new connection replaces the one that has been idle "
        "longest, or gets 503 if none is idle. Headers and small bodies take up to 128 KiB per connection. Raise "
        "it for many clients, but stay below the limit of open files; lower it to save memory",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "EMBEDDER_ALLOWED_HOSTS",
        (),
        names,
        "Host names that the Host header may have, separated by commas. Loopback names are always allowed. If it "
        "is empty, an embedder on a loopback address accepts loopback names only, and an embedder on any other "
        "address accepts every name",
    )
    token: tuple[str, ...] = setting(
        "EMBEDDER_TOKEN",
        (),
        parse_tokens,
        "Bearer token that POST /embed demands, or several, separated by commas, any of which is accepted. If it is "
        "empty, every caller that reaches the port is served. Prefer TANDEM_EMBEDDER_TOKEN_FILE. It has no flag: "
        "other users of the machine can see command lines",
        secret=True,
        flag=False,
    )
    token_file: str = setting(
        "EMBEDDER_TOKEN_FILE",
        "",
        readable_file,
        "File with the tokens, one per line, instead of TANDEM_EMBEDDER_TOKEN. The embedder reads a changed file "
        "within 5 seconds. If the new content cannot be used, the previous tokens stay",
    )
    tls_cert_file: str = setting(
        "EMBEDDER_TLS_CERT_FILE",
        "",
        readable_file,
        "PEM file with the embedder's certificate, followed by intermediate certificates. With it, the port serves "
        "https only, TLS 1.2 or newer. It needs TANDEM_EMBEDDER_TLS_KEY_FILE. The embedder reads changed files within "
        "5 seconds; new connections then use them. If they cannot be used, the previous certificate stays",
    )
    tls_key_file: str = setting(
        "EMBEDDER_TLS_KEY_FILE",
        "",
        readable_file,
        "PEM file with the private key of TANDEM_EMBEDDER_TLS_CERT_FILE, without a passphrase. Only the embedder's "
        "user should be able to read it",
    )
    tls_client_ca_file: str = setting(
        "EMBEDDER_TLS_CLIENT_CA_FILE",
        "",
        readable_file,
        "PEM file with the CAs that sign the clients' certificates (mutual TLS). With it, every client must show "
        "such a certificate, probes too. Read again like TANDEM_EMBEDDER_TLS_CERT_FILE",
    )
    embed_timeout: float = setting(
        "EMBED_TIMEOUT_SECONDS",
        30.0,
        seconds(0.01, 3600),
        "Deadline of a request; a late request gets 504 and leaves the queue. The header x-request-timeout-ms can"
        " shorten it. With chunking it holds for each 16,384 characters."
        " Raise it for slow models; lower it to fail sooner under load",
    )
    shutdown_timeout: float = setting(
        "EMBEDDER_SHUTDOWN_TIMEOUT_SECONDS",
        20.0,
        seconds(0.1, 3600),
        "Seconds that accepted requests have after SIGTERM. Raise it for long requests, but stay below the "
        "orchestrator's grace period; lower it for a faster stop",
        former="SHUTDOWN_TIMEOUT_SECONDS",
    )
    log_level: str = setting(
        "LOG_LEVEL", "info", one_of("debug", "info", "warning", "error"), "Lowest level that is logged"
    )
    tracing: bool = setting(
        "TRACING",
        False,
        boolean,
        "Record spans of requests and send them to an OpenTelemetry collector; OTEL_EXPORTER_OTLP_ENDPOINT and the "
        "variables beside it say where to and how many. It needs the extra tracing, and 20 MiB of memory",
    )
    access_log: bool = setting("ACCESS_LOG", True, boolean, "Log one line per request, at about 30 microseconds each")

    def __post_init__(self) -> None:
        if self.max_bulk_batch_tokens > self.max_batch_tokens:
            raise ValueError(
                f"TANDEM_MAX_BULK_BATCH_TOKENS={self.max_bulk_batch_tokens} must not be more than "
                f"TANDEM_MAX_BATCH_TOKENS={self.max_batch_tokens}"
            )
        if self.max_queued_tokens < self.max_batch_tokens:
            raise ValueError(
                f"TANDEM_MAX_QUEUED_TOKENS={self.max_queued_tokens} must be at least "
                f"TANDEM_MAX_BATCH_TOKENS={self.max_batch_tokens}"
            )

        check_server_tls(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file, prefix="TANDEM_EMBEDDER_TLS")
        if self.token and self.token_file:
            raise ValueError("TANDEM_EMBEDDER_TOKEN and TANDEM_EMBEDDER_TOKEN_FILE exclude each other: set one")

    def with_workers(self, usable_threads: int) -> "Settings":
        """Return the settings with 0 workers replaced by the number for this many usable threads."""
        return dataclasses.replace(self, workers=self.workers or max(1, usable_threads // self.threads))

    def check_model(self, manifest: Manifest) -> None:
        """Check the rules that need to know the model.

        Raises:
            ValueError: naming the variable and the rule.
        """
        if self.precision != "auto" and self.precision not in manifest.variants:
            raise ValueError(
                f"TANDEM_PRECISION={self.precision}: {self.model_dir} was prepared for "
                f"{', '.join(sorted(manifest.variants))} only"
            )
        if self.max_batch_tokens < manifest.max_seq_length:
            raise ValueError(
                f"TANDEM_MAX_BATCH_TOKENS={self.max_batch_tokens} must be at least the longest text of "
                f"{manifest.model}, {manifest.max_seq_length} tokens"
            )

    def precision_of(self, manifest: Manifest) -> str:
        """Return the precision to load; ``auto`` is the fastest precision that the prepared model has."""
        if self.precision != "auto":
            return self.precision
        return "int8" if "int8" in manifest.variants else "fp32"

    def batch_limits(self) -> BatchLimits:
        """Return the limits of batching."""
        return BatchLimits(
            max_tokens=self.max_batch_tokens,
            max_bulk_tokens=self.max_bulk_batch_tokens,
            bulk_share=self.bulk_percent / 100,
        )
