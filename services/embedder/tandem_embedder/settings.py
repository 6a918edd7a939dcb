"""The embedder's settings: one frozen object, read once at start, and the rules between them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tandem_contract.service.settings import boolean, names, one_of, seconds, setting, whole_number
from tandem_embedder.batching.batch_queue import BatchLimits
from tandem_embedder.model.prepared_model import Manifest


@dataclass(frozen=True)
class Settings:
    """What ``python -m tandem_embedder`` can be told; each field is a variable ``TANDEM_...`` and a flag."""

    host: str = setting("EMBEDDER_HOST", "127.0.0.1", str, "address to listen on")
    port: int = setting("EMBEDDER_PORT", 8080, whole_number(1, 65535), "port to listen on")
    model_dir: Path = setting(
        "MODEL_DIR",
        Path("models/all-MiniLM-L6-v2"),
        Path,
        "folder made by python -m tandem_embedder.prepare; read, never written",
    )
    precision: str = setting(
        "PRECISION",
        "auto",
        one_of("auto", "int8", "fp32"),
        "int8 is about twice as fast and takes two thirds of the memory; fp32 is the reference. auto serves int8 "
        "where the model was prepared for it, else fp32. On a CPU that computes int8 wrong (x86 without VNNI) the "
        "embedder warns and serves fp32. Set fp32 everywhere if only some of the machines have VNNI: vectors of the "
        "two have different fingerprints and are never mixed",
    )
    threads: int = setting(
        "THREADS",
        1,
        whole_number(1, 256),
        "threads that compute one batch. One is right for queries and for throughput: texts are short, and threads "
        "that share a batch cost half as much CPU again; more shorten the time of a single long text",
    )
    workers: int = setting(
        "WORKERS",
        0,
        whole_number(0, 64),
        "batches that are computed at the same time; 0 takes what the cgroup's quota and the affinity allow, divided "
        "by the threads. More than that only throttles; each takes some memory of its own. Queries that find all of "
        "them busy with bulk get half as many more",
    )
    max_batch_tokens: int = setting(
        "MAX_BATCH_TOKENS",
        512,
        whole_number(8, 1_000_000),
        "most tokens of one run of the model, padding included. Larger: a little more throughput, more memory "
        "(about 50 MiB from 512 to 1024), and a query waits longer behind the batch before it",
    )
    max_bulk_batch_tokens: int = setting(
        "MAX_BULK_BATCH_TOKENS",
        160,
        whole_number(8, 1_000_000),
        "the same for texts sent with priority bulk. Larger: hardly any faster, and more memory",
    )
    bulk_percent: int = setting(
        "BULK_PERCENT",
        20,
        whole_number(0, 90),
        "least part of the work that bulk gets while queries wait as well; 0 lets a flood of queries stop ingest",
    )
    max_queued_tokens: int = setting(
        "MAX_QUEUED_TOKENS",
        32_768,
        whole_number(8, 100_000_000),
        "tokens that may wait; over it requests get 429 and a time to come back. Bulk may fill three quarters. Larger: "
        "longer waits before anybody is told",
    )
    max_client_batch_size: int = setting(
        "MAX_CLIENT_BATCH_SIZE", 64, whole_number(1, 100_000), "texts that one request may hold; more get 422"
    )
    max_text_chars: int = setting(
        "MAX_TEXT_CHARS",
        100_000,
        whole_number(1, 100_000_000),
        "characters that one text may hold; more get 422. A text is tokenised whole before it is cut, at about "
        "two million characters a second",
    )
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES",
        8_388_608,
        whole_number(64, 1_000_000_000),
        "bytes that a request's body may have; more get 413. A request is held in memory up to this size",
    )
    max_bytes_in_flight: int = setting(
        "EMBEDDER_MAX_BYTES_IN_FLIGHT",
        64 << 20,
        whole_number(64, 1 << 40),
        "memory that the bodies and texts of requests under way may hold together; over it requests get 429. What is "
        "under 64 KiB does not count. Raise it for many large batches at a time, with the container's memory limit",
    )
    max_connections: int = setting(
        "EMBEDDER_MAX_CONNECTIONS",
        2048,
        whole_number(1, 1_000_000),
        "open connections; over it a new one takes the place of the one that waits longest for a request, or gets 503 "
        "if none waits. Bounds the memory of heads and small bodies, up to 128 KiB each. Keep it under the limit of "
        "open files",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "EMBEDDER_ALLOWED_HOSTS",
        (),
        names,
        "names that a request's Host header may have, with commas between; those of the loopback are always allowed. "
        "Without any, an embedder on a loopback address answers to those alone, and any other to every name",
    )
    embed_timeout: float = setting(
        "EMBED_TIMEOUT_SECONDS",
        30.0,
        seconds(0.01, 3600),
        "longest that a request may take; then it gets 504, and what is queued of it is dropped. A caller shortens it "
        "with the header x-request-timeout-ms",
    )
    shutdown_timeout: float = setting(
        "SHUTDOWN_TIMEOUT_SECONDS",
        20.0,
        seconds(0.1, 3600),
        "longest that SIGTERM waits for requests that were accepted; keep it under the orchestrator's grace period",
    )
    log_level: str = setting(
        "LOG_LEVEL", "info", one_of("debug", "info", "warning", "error"), "least level of a log line"
    )
    access_log: bool = setting(
        "ACCESS_LOG", True, boolean, "whether every request is a log line; about 30 microseconds each"
    )

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

    def with_workers(self, usable_threads: int) -> "Settings":
        """Return the settings with the workers that 0 stands for, where so many threads can run at a time."""
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
        """Return the precision to load: the one set, or for ``auto`` the fastest that the model was prepared for."""
        if self.precision != "auto":
            return self.precision
        return "int8" if "int8" in manifest.variants else "fp32"

    def batch_limits(self) -> BatchLimits:
        """Return the limits that batching goes by."""
        return BatchLimits(
            max_tokens=self.max_batch_tokens,
            max_bulk_tokens=self.max_bulk_batch_tokens,
            bulk_share=self.bulk_percent / 100,
        )
