"""The tables of a comparison, as Markdown."""

from collections.abc import Sequence

from gateway_bench.load.ceiling import LIMIT, is_limited_by_client
from gateway_bench.reporting.aggregate import BASELINE, ArchitectureRow, LoadRow, reference_concurrency
from gateway_bench.reporting.projection import (
    UTILISATION,
    Point,
    capacity,
    split_scaling,
    whole_copies,
)
from gateway_bench.results import Results
from gateway_bench.wording import error_counts, escaped

# Loads that are shorter are called a quick run.
_MIN_SECONDS = 5.0

TARGETS_RPS = (500, 1000, 10_000)


def comparison(results: Results, rows: Sequence[ArchitectureRow]) -> str:
    """Return the main table, with the columns of the published comparison and a few more."""
    concurrency = reference_concurrency(results)
    lines = [
        f"| architecture | RPS, {_clients(concurrency)} | p50 ms | p95 ms | p99 ms | RSS MiB | PSS MiB "
        "| CPU ms a search | cold start s | ingest docs/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        load = row.loads.get(concurrency)
        if load is None:
            lines.append(f"| {row.subject.title} | {_reason(row)} | | | | | | | | |")
            continue
        parts = " + ".join(f"{value:.0f}" for value in row.rss.values()) if len(row.rss) > 1 else ""
        rss = f"{row.total_rss:.0f}{_ratio(row.rss_ratio)}{f' = {parts}' if parts else ''}" if row.rss else "–"
        cells = [
            row.subject.title + _note(row),
            f"{load.rps:.0f}{_ratio(load.rps_ratio)}",
            _number(load.p50),
            f"{_number(load.p95)}{_ratio(load.p95_ratio)}",
            _number(load.p99),
            rss,
            f"{row.total_pss:.0f}" if row.pss else "–",
            f"{sum(load.cpu_ms.values()):.2f}" if load.cpu_ms else "–",
            _number(row.cold_start, 2),
            _number(row.ingest, 0),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_remarks(results, rows)])


def by_concurrency(results: Results, rows: Sequence[ArchitectureRow]) -> str:
    """Return a table with rate and p95 of every architecture at every concurrency."""
    columns = results.workload.concurrency
    lines = [
        "| architecture | " + " | ".join(f"{_clients(clients)}: RPS, p95 ms" for clients in columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    for row in rows:
        cells = [
            f"{row.loads[clients].rps:.0f}, {_number(row.loads[clients].p95)}" if clients in row.loads else "–"
            for clients in columns
        ]
        lines.append(f"| {row.subject.title} | {' | '.join(cells)} |")
    ceilings = [f"{results.ceilings[str(clients)]:.0f}" for clients in columns if str(clients) in results.ceilings]
    if len(ceilings) == len(columns):
        lines.append(f"| *the client against a server that does nothing* | {' | '.join(ceilings)} |")
    return "\n".join(lines)


def machine(results: Results) -> str:
    """Return the conditions of the measurement: machine, commit, workload and versions."""
    where, work = results.machine, results.workload
    length = f"{work.seconds:g} s" if work.seconds is not None else f"{work.requests} requests"
    lines = [
        f"- {where.cpu}, {where.cores} cores, {where.memory_gib:g} GiB; {where.system}",
        f"- {results.date}, commit {results.commit}",
        f"- {work.documents} documents ({work.corpus}, SHA-256 {work.corpus_sha256[:12]}), {work.queries}, "
        f"`top_k` {work.top_k}",
        f"- {work.rounds} {'round' if work.rounds == 1 else 'interleaved rounds, medians'}; {length} a load, "
        f"{work.warm_up} requests of warm-up",
    ]
    told: dict[str, list[str]] = {}
    for subject in results.architectures:
        if subject.versions:
            versions = ", ".join(f"{name} {version}" for name, version in subject.versions.items())
            told.setdefault(versions, []).append(subject.key)
    lines += [f"- {', '.join(keys)}: {versions}" for versions, keys in told.items()]
    return "\n".join(lines)


def projection(results: Results, rows: Sequence[ArchitectureRow], p95_target: float) -> str:
    """Return a table with replicas and memory for other loads, and the figures behind them."""
    targets = [f"{target:,} RPS" for target in TARGETS_RPS]
    lines = [
        f"Whole copies, p95 within {p95_target:g} ms: replicas = ⌈target ÷ RPS of one⌉, memory = replicas × its RSS.",
        "",
        "| architecture | one copy: RPS (clients, p95 ms), RSS MiB | " + " | ".join(targets) + " |",
        "| --- | --- |" + " --- |" * len(targets),
    ]
    points = {row.subject.key: _capacity(row, p95_target) for row in rows}
    for row in rows:
        point = points[row.subject.key]
        if point is None:
            if row.loads:
                missed = f"no load was within {p95_target:g} ms"
                lines.append(f"| {row.subject.title} | {missed} |{' – |' * len(targets)}")
            continue
        cells = []
        for target in TARGETS_RPS:
            copies = whole_copies(target, point, row.total_rss)
            cells.append(f"{copies.replicas}, {_memory(copies.memory_mib) if row.rss else '–'}")
        one = f"{point.rps:.0f} ({point.concurrency}, {point.p95:.0f}), {f'{row.total_rss:.0f}' if row.rss else '–'}"
        lines.append(f"| {row.subject.title} | {one} | {' | '.join(cells)} |")
    split = [row for row in rows if _is_split(row) and points[row.subject.key] is not None]
    if split:
        lines += ["", *_split_table(results, split, points, targets)]
    return "\n".join(lines)


def _split_table(
    results: Results, rows: Sequence[ArchitectureRow], points: dict[str, Point | None], targets: Sequence[str]
) -> list[str]:
    cores = results.machine.cores
    lines = [
        f"Embedders scaled alone: busy cores = target × CPU time a search; embedders = ⌈busy cores ÷ ({cores} cores × "
        f"{UTILISATION:g})⌉, gateways = ⌈busy cores ÷ {UTILISATION:g}⌉, since a gateway's event loop has one core.",
        "",
        "| architecture | CPU ms a search, embedder + gateway; RSS MiB | " + " | ".join(targets) + " |",
        "| --- | --- |" + " --- |" * len(targets),
    ]
    for row in rows:
        point = points[row.subject.key]
        assert point is not None
        cpu = row.loads[point.concurrency].cpu_ms
        embedder_cpu, gateway_cpu = cpu["embedder"], cpu["gateway"]
        cells = []
        for target in TARGETS_RPS:
            scaled = split_scaling(
                target,
                embedder_cpu_ms=embedder_cpu,
                gateway_cpu_ms=gateway_cpu,
                cores=cores,
                embedder_mib=row.rss["embedder"],
                gateway_mib=row.rss["gateway"],
            )
            cells.append(f"{scaled.embedders} + {scaled.gateways}, {_memory(scaled.memory_mib)}")
        one = f"{embedder_cpu:.2f} + {gateway_cpu:.2f}; {row.rss['embedder']:.0f} + {row.rss['gateway']:.0f}"
        lines.append(f"| {row.subject.title} | {one} | {' | '.join(cells)} |")
    return lines


def _capacity(row: ArchitectureRow, p95_target: float) -> Point | None:
    points = [
        Point(load.concurrency, load.rps, load.p95)
        for load in row.loads.values()
        if load.p95 is not None and not load.errors and load.rps > 0
    ]
    return capacity(points, p95_target)


def _is_split(row: ArchitectureRow) -> bool:
    return {"embedder", "gateway"} <= row.rss.keys()


def _remarks(results: Results, rows: Sequence[ArchitectureRow]) -> list[str]:
    said = "RSS and PSS: the most during the loads, of all processes; RSS counts a page that two of them share twice."
    if any(row.subject.key == BASELINE and row.loads for row in rows):
        said += " In brackets: against A, the median of the rounds' ratios."
    if (results.workload.seconds or _MIN_SECONDS) < _MIN_SECONDS:
        said = f"**A quick run, {results.workload.seconds:g} s a load: it shows that this works, and no more.** {said}"
    called = [row.subject.title for row in rows if not row.subject.sampled]
    if called:
        said += f" Called by URL, so without memory, CPU time and cold start: {', '.join(called)}."
    warnings = [warning for row in rows for load in row.loads.values() for warning in _warnings(row, load, results)]
    return [said, "", *(f"- {warning}" for warning in warnings)]


def _warnings(row: ArchitectureRow, load: LoadRow, results: Results) -> list[str]:
    found = []
    where = f"{row.subject.title}, {_clients(load.concurrency)}"
    if load.errors:
        found.append(f"{where}: errors: {error_counts(load.errors)}")
    ceiling = results.ceilings.get(str(load.concurrency))
    if ceiling is not None and is_limited_by_client(load.rps, ceiling):
        found.append(f"{where}: limited by the client, over {LIMIT:.0%} of its {ceiling:.0f} RPS")
    return found


def _clients(count: int) -> str:
    return f"{count} client{'s' if count > 1 else ''}"


def _reason(row: ArchitectureRow) -> str:
    word = "skipped" if row.subject.skipped else "failed"
    return f"{word}: {escaped(row.subject.failure or 'nothing was measured')}"


def _note(row: ArchitectureRow) -> str:
    return f" (given up: {escaped(row.subject.failure)})" if row.subject.failure else ""


def _ratio(value: float | None) -> str:
    return "" if value is None else f" ({value:.1f} ×)" if value >= 1 else f" ({value:.2f} ×)"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _memory(mib: float) -> str:
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"
