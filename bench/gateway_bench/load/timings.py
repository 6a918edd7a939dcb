"""The record of a load run, and its figures."""

import csv
import math
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec

OK = 0
"""Code of the outcome that counts as a result; the others index ``Timings.kinds``."""

# Points of the stored distribution: every percent, and finer steps in the tail.
QUANTILES: tuple[float, ...] = (*(p / 100 for p in range(100)), 0.995, 0.999, 0.9995, 0.9999, 1.0)


class Latency(msgspec.Struct, frozen=True):
    """Latency of the good answers, in milliseconds."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class Summary(msgspec.Struct, frozen=True):
    """The figures of a load run."""

    requests: int
    """Requests that were due, with or without an answer."""
    ok: int
    errors: dict[str, int]
    """Kind of error → number of requests."""
    empty: int
    """Good answers without a hit."""
    seconds: float
    rps: float
    """Good answers a second."""
    latency: Latency | None
    """None without a good answer."""
    lag_p95: float
    """Milliseconds from the due time of a request until it was sent. In an open loop this is the server's backlog and
    the client's own delay; in a closed loop it is 0."""
    client_cpu_us: float
    """CPU time of this client for each request, in microseconds."""
    distribution: list[float]
    """Latency in milliseconds at each of ``QUANTILES``; empty without a good answer."""


class Timings:
    """The raw record: an entry for each request, in the order of their ends; times are seconds since the start."""

    def __init__(self) -> None:
        self.due = array("d")
        self.sent = array("d")
        self.done = array("d")
        self.outcome = array("B")
        self.kinds: list[str] = ["ok"]
        self.empty = 0

    def add(self, due: float, sent: float, done: float, kind: str | None = None) -> None:
        """Record a request; ``kind`` names an error."""
        self.due.append(due)
        self.sent.append(sent)
        self.done.append(done)
        if kind is None:
            self.outcome.append(OK)
            return
        if kind not in self.kinds:
            self.kinds.append(kind)
        self.outcome.append(self.kinds.index(kind))

    def summarise(self, window: float | None, cpu_seconds: float) -> Summary:
        """Return the figures.

        Args:
            window: length of the load in seconds; None takes the time of the last answer. An answer after the window
                counts for the latency, but not for the rate, since clients were ending by then.
            cpu_seconds: CPU time of this client during the run.
        """
        good = [index for index, outcome in enumerate(self.outcome) if outcome == OK]
        latencies = sorted(1000 * (self.done[index] - self.due[index]) for index in good)
        errors = {
            kind: sum(1 for outcome in self.outcome if outcome == code)
            for code, kind in enumerate(self.kinds)
            if code != OK
        }
        seconds = window if window is not None else max(self.done, default=0.0)
        in_time = sum(1 for index in good if self.done[index] <= seconds)
        lags = sorted(1000 * (sent - due) for sent, due in zip(self.sent, self.due, strict=True))
        return Summary(
            requests=len(self.outcome),
            ok=len(good),
            errors=errors,
            empty=self.empty,
            seconds=seconds,
            rps=in_time / seconds if seconds > 0 else 0.0,
            latency=latency_of(latencies),
            lag_p95=percentile(lags, 0.95) if lags else 0.0,
            client_cpu_us=1e6 * cpu_seconds / len(self.outcome) if self.outcome else 0.0,
            distribution=[percentile(latencies, share) for share in QUANTILES] if latencies else [],
        )

    def write_csv(self, path: Path, *, label: Sequence[tuple[str, object]] = (), append: bool = False) -> None:
        """Write one line for each request: the label's columns, due and send time, latency, and outcome."""
        with path.open("a" if append else "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if not append:
                names = [name for name, _ in label]
                writer.writerow([*names, "due_seconds", "sent_seconds", "latency_ms", "outcome"])
            values = [value for _, value in label]
            for due, sent, done, code in zip(self.due, self.sent, self.done, self.outcome, strict=True):
                latency = f"{1000 * (done - due):.4f}"
                writer.writerow([*values, f"{due:.6f}", f"{sent:.6f}", latency, self.kinds[code]])


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the least value that at least ``share`` of all values do not exceed.

    The result is always a measured value, never one between two. (NIST/SEMATECH e-Handbook, 7.2.6.2, and RFC 2330,
    section 11.3, define it so.)

    Args:
        ascending: at least one value, sorted.
        share: from 0 to 1.
    """
    if not ascending:
        raise ValueError("no values, no percentile")
    # The subtraction keeps 0.95 × 20 = 19.000000000000004 from being rank 20.
    rank = math.ceil(share * len(ascending) - 1e-9)
    return ascending[min(len(ascending), max(1, rank)) - 1]


def latency_of(ascending: Sequence[float]) -> Latency | None:
    """Return the usual figures of sorted latencies."""
    if not ascending:
        return None
    return Latency(
        mean=math.fsum(ascending) / len(ascending),
        p50=percentile(ascending, 0.50),
        p95=percentile(ascending, 0.95),
        p99=percentile(ascending, 0.99),
        max=ascending[-1],
    )
