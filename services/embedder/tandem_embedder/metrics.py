"""Prometheus metrics of the embedder, in their own registry. Only this module imports prometheus_client.

Each label child is looked up once and kept: a lookup costs three times as much as an increment.
"""

from typing import TypeVar

import prometheus_client as prometheus
from prometheus_client.process_collector import ProcessCollector

from tandem_embedder.batching.lanes import LANES, Lane
from tandem_embedder.embedded import Embedded
from tandem_embedder.ports import BatchReport
from tandem_runtime.memory import MemoryBudget

# The framework adds the charset to a text type.
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")

# A "_created" series for every counter and histogram would make scrapes a third larger, and Tandem does not use it.
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FINE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, *_SECONDS)
_ROWS = (1, 2, 4, 8, 16, 32, 64)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024)
_PREFIX = "tandem_embedder_"


M = TypeVar("M", prometheus.Counter, prometheus.Histogram)


class Metrics:
    """All metrics of the embedder. Implements the scheduler's ``Observer``."""

    def __init__(self) -> None:
        self._registry = prometheus.CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._counter("requests", "Requests to POST /embed by HTTP status.", "code")
        self._requests_by_code: dict[int, prometheus.Counter] = {}
        self._texts = self._counter("texts", "Texts embedded.")
        self._passages = self._counter("passages", "Passages embedded of texts that a request with chunking had.")
        self._truncated = self._counter(
            "truncated_texts", "Texts, or with chunking passages, that were truncated to the model's limit."
        )
        self._unknown = self._counter(
            "unknown_texts", "Texts, or with chunking passages, with tokens that the model's vocabulary lacks."
        )
        rejected = self._counter("rejected", "Requests refused before they were queued, by error code.", "reason")
        self._rejected = rejected
        self._rejected_by_reason: dict[str, prometheus.Counter] = {}
        self._expired = self._by_lane(self._counter("expired", "Texts dropped at their deadline.", "lane"))
        self._abandoned = self._by_lane(
            self._counter("abandoned", "Texts dropped because their request ended.", "lane")
        )
        self._request_seconds = self._histogram(
            "request_duration_seconds", "Time of a request to POST /embed.", _SECONDS
        )
        self._tokenize_seconds = self._histogram(
            "tokenize_duration_seconds",
            "Time to split and tokenize a request, including the wait for the thread.",
            _FINE_SECONDS,
        )
        self._queue_seconds = self._by_lane(
            self._histogram("queue_duration_seconds", "Time that a text waited for the model.", _FINE_SECONDS, "lane")
        )
        self._inference_seconds = self._histogram(
            "inference_duration_seconds", "Time of one run of the model.", _SECONDS
        )
        self._batch_rows = self._histogram("batch_rows", "Number of texts in a batch.", _ROWS)
        self._batch_tokens = self._histogram("batch_tokens", "Number of tokens in a batch, without padding.", _TOKENS)
        self._tokens = self._by_lane(
            self._counter("tokens", "Tokens that the model computed, without padding.", "lane")
        )
        self._padding = self._counter("padding_tokens", "Padding tokens that the model computed.")
        self._queued = prometheus.Gauge(
            f"{_PREFIX}queued_tokens",
            "Tokens that were admitted and are not computed yet.",
            ["lane"],
            registry=self._registry,
        )
        self._held = prometheus.Gauge(
            f"{_PREFIX}in_flight_bytes",
            "Bytes that requests hold of the memory budget, without the first 64 KiB of each.",
            registry=self._registry,
        )
        self._held_limit = prometheus.Gauge(
            f"{_PREFIX}in_flight_limit_bytes",
            "Limit of the memory budget (TANDEM_EMBEDDER_MAX_BYTES_IN_FLIGHT).",
            registry=self._registry,
        )
        self._ready = prometheus.Gauge(
            f"{_PREFIX}ready", "1 if the embedder accepts requests.", registry=self._registry
        )

        self._tls_expiry = prometheus.Gauge(
            f"{_PREFIX}tls_certificate_expiry_timestamp_seconds",
            "When the embedder's certificate expires.",
            ["use"],  # without TLS there is no series
            registry=self._registry,
        )
        self._tls_reloads = self._counter(
            "tls_reloads", "Changed TLS files of the server that were read: renewed or failed.", "result"
        )
        self._tls_handshakes = self._counter(
            "tls_handshakes_failed", "TLS handshakes with clients that failed, by reason.", "reason"
        )

        self._spans_exported = self._counter("spans_exported", "Spans that the collector has taken (TANDEM_TRACING).")
        self._spans_dropped = self._counter(
            "spans_dropped", "Spans that were lost, by reason: queue_full, export_failed or shutdown.", "reason"
        )

    def spans_exported(self, spans: int) -> None:
        """Count exported spans; any thread may call it."""
        self._spans_exported.inc(spans)

    def spans_dropped(self, reason: str, spans: int) -> None:
        """Count lost spans; any thread may call it."""
        self._spans_dropped.labels(reason).inc(spans)

    def tls_expires(self, at: float) -> None:
        """Report when the server's certificate expires; seconds since 1970."""
        self._tls_expiry.labels("server").set(at)

    def tls_reloaded(self, result: str) -> None:
        """Count a look at changed files; ``result`` is ``renewed`` or ``failed``."""
        self._tls_reloads.labels(result).inc()

    def tls_handshake_failed(self, reason: str) -> None:
        """Count a failed handshake."""
        self._tls_handshakes.labels(reason).inc()

    def describe(self, **labels: str) -> None:
        """Expose ``tandem_embedder_build_info`` with these labels. Call it once, when the model is loaded."""
        prometheus.Info(
            f"{_PREFIX}build",
            "The served model, its fingerprint and its precision, as labels.",
            registry=self._registry,
        ).info(labels)

    def watch_memory(self, budget: MemoryBudget) -> None:
        """Report this budget. Each scrape reads it, so that a lease costs nothing more."""
        self._held.set_function(lambda: budget.held)
        self._held_limit.set(budget.limit)

    def request(self, status: int, seconds: float) -> None:
        """Count an answered request."""
        child = self._requests_by_code.get(status)
        if child is None:
            child = self._requests_by_code[status] = self._requests.labels(str(status))
        child.inc()
        self._request_seconds.observe(seconds)

    def embedded(self, result: Embedded) -> None:
        """Count the texts of a request that was answered with vectors."""
        rows = len(result.tokens)
        if result.texts is None:
            self._texts.inc(rows)
        else:
            self._texts.inc(result.texts)
            self._passages.inc(rows)
        if any(result.truncated):
            self._truncated.inc(sum(result.truncated))
        if any(result.unknown):
            self._unknown.inc(sum(share > 0 for share in result.unknown))
        self._tokenize_seconds.observe(result.tokenize_seconds)

    def rejected(self, reason: str) -> None:
        """Count a rejected request; ``reason`` is an error code of the contract."""
        child = self._rejected_by_reason.get(reason)
        if child is None:
            child = self._rejected_by_reason[reason] = self._rejected.labels(reason)
        child.inc()

    def unauthorized(self) -> None:
        """Count a request without an accepted token."""
        self.rejected("unauthorized")

    def batch(self, report: BatchReport) -> None:
        """Record a batch that the model has computed."""
        self._inference_seconds.observe(report.seconds)
        self._batch_rows.observe(report.rows)
        self._batch_tokens.observe(report.tokens)
        self._tokens[report.lane].inc(report.tokens)
        self._padding.inc(report.padded_tokens - report.tokens)
        queue_seconds = self._queue_seconds[report.lane]
        for seconds in report.queue_seconds:
            queue_seconds.observe(seconds)

    def expired(self, lane: Lane, texts: int) -> None:
        """Count texts that the scheduler dropped at their deadline."""
        self._expired[lane].inc(texts)

    def abandoned(self, lane: Lane, texts: int) -> None:
        """Count texts that the scheduler dropped because their request ended."""
        self._abandoned[lane].inc(texts)

    def exposition(self, ready: bool, queued_tokens: dict[Lane, int]) -> bytes:
        """Return all metrics as Prometheus text, after setting the gauges to the given values."""
        self._ready.set(ready)
        for lane, tokens in queued_tokens.items():
            self._queued.labels(lane).set(tokens)
        return prometheus.generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(f"{_PREFIX}{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> prometheus.Histogram:
        return prometheus.Histogram(f"{_PREFIX}{name}", text, labels, buckets=buckets, registry=self._registry)

    @staticmethod
    def _by_lane(metric: M) -> dict[Lane, M]:
        return {lane: metric.labels(lane) for lane in LANES}
