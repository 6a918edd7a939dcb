"""Combines the figures of several rounds: medians of figures, and medians of the ratios within each round."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway_bench.results import Measured, Results, Subject

BASELINE = "A"
PREFERRED_CONCURRENCY = 16
"""The concurrency of the published comparison."""


@dataclass(frozen=True)
class LoadRow:
    """An architecture at one concurrency; medians over the rounds."""

    concurrency: int
    rps: float
    p50: float | None
    """Milliseconds; this and the next two are None without a good answer."""
    p95: float | None
    p99: float | None
    cpu_ms: dict[str, float]
    """Process → CPU milliseconds for each good answer."""
    errors: dict[str, int]
    """Sum over all rounds."""
    rps_ratio: float | None
    """Against the baseline; median of the rounds' ratios. None without a baseline."""
    p95_ratio: float | None


@dataclass(frozen=True)
class ArchitectureRow:
    """An architecture; medians over the rounds."""

    subject: Subject
    cold_start: float | None
    ingest: float | None
    loads: dict[int, LoadRow]
    rss: dict[str, float]
    """Process → peak resident memory in a round, MiB."""
    pss: dict[str, float]
    rss_ratio: float | None
    """Ratio of the sums against the baseline."""

    @property
    def total_rss(self) -> float:
        """Sum over all processes, MiB."""
        return sum(self.rss.values())

    @property
    def total_pss(self) -> float:
        """Sum over all processes, MiB."""
        return sum(self.pss.values())


def reference_concurrency(results: Results) -> int:
    """Return the concurrency that the main table shows."""
    measured = results.workload.concurrency
    return PREFERRED_CONCURRENCY if PREFERRED_CONCURRENCY in measured else sorted(measured)[len(measured) // 2]


def aggregate(results: Results) -> list[ArchitectureRow]:
    """Return a row for each architecture of the comparison, in its order."""
    baseline = {(load.round, load.concurrency): load for load in results.loads if load.architecture == BASELINE}
    base_rss = {number: _worst(_of_round(results, BASELINE, number)) for number in _rounds(results, BASELINE)}
    rows = []
    for subject in results.architectures:
        own = [load for load in results.loads if load.architecture == subject.key]
        starts = [start for start in results.starts if start.architecture == subject.key]
        rates = [start.ingest_docs_per_second for start in starts if start.ingest_docs_per_second is not None]
        names = sorted({name for load in own for name in load.usage})
        ratios = [
            _worst([load for load in own if load.round == number]) / base_rss[number]
            for number in _rounds(results, subject.key)
            if base_rss.get(number)
        ]
        rows.append(
            ArchitectureRow(
                subject=subject,
                cold_start=_median([s.cold_start_seconds for s in starts if s.cold_start_seconds is not None]),
                ingest=_median(rates),
                loads={
                    concurrency: _load_row([load for load in own if load.concurrency == concurrency], baseline)
                    for concurrency in sorted({load.concurrency for load in own})
                },
                rss={name: _worst_of(results, subject.key, name, "rss_peak") for name in names},
                pss={name: _worst_of(results, subject.key, name, "pss_peak") for name in names},
                rss_ratio=_median(ratios) if names and subject.key != BASELINE else None,
            )
        )
    return rows


def _load_row(loads: Sequence[Measured], baseline: dict[tuple[int, int], Measured]) -> LoadRow:
    errors: dict[str, int] = {}
    for load in loads:
        for kind, count in load.summary.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    latencies = [load.summary.latency for load in loads if load.summary.latency is not None]
    paired = [
        (load, baseline[load.round, load.concurrency])
        for load in loads
        if load.architecture != BASELINE and (load.round, load.concurrency) in baseline
    ]
    names = sorted({name for load in loads for name in load.usage})
    return LoadRow(
        concurrency=loads[0].concurrency,
        rps=statistics.median(load.summary.rps for load in loads),
        p50=_median([latency.p50 for latency in latencies]),
        p95=_median([latency.p95 for latency in latencies]),
        p99=_median([latency.p99 for latency in latencies]),
        cpu_ms={name: _median([_cpu_ms(load, name) for load in loads if load.summary.ok]) or 0.0 for name in names},
        errors=errors,
        rps_ratio=_median([one.summary.rps / base.summary.rps for one, base in paired if base.summary.rps]),
        p95_ratio=_median(
            [
                one.summary.latency.p95 / base.summary.latency.p95
                for one, base in paired
                if one.summary.latency is not None and base.summary.latency is not None
            ]
        ),
    )


def _cpu_ms(load: Measured, name: str) -> float:
    return 1000 * load.usage[name].cpu_seconds / load.summary.ok if name in load.usage else 0.0


def _rounds(results: Results, key: str) -> list[int]:
    return sorted({load.round for load in results.loads if load.architecture == key})


def _of_round(results: Results, key: str, number: int) -> list[Measured]:
    return [load for load in results.loads if load.architecture == key and load.round == number]


def _worst(loads: Sequence[Measured]) -> float:
    """Return the peak memory of all processes together in any of the loads, MiB."""
    return max(sum(usage.rss_peak for usage in load.usage.values()) for load in loads)


def _worst_of(results: Results, key: str, name: str, figure: str) -> float:
    read: Callable[[Measured], float] = lambda load: getattr(load.usage[name], figure)  # noqa: E731
    return statistics.median(
        max(read(load) for load in _of_round(results, key, number) if name in load.usage)
        for number in _rounds(results, key)
    )


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
