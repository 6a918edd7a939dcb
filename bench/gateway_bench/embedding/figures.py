"""Figures of embedding servers as pure functions: medians over rounds, ratios within a round, and tables."""

import statistics
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from gateway_bench.embedding.shapes import Vectors
from gateway_bench.results import Machine
from gateway_bench.wording import error_counts, escaped
from tandem_contract.embed import Kind

FORMAT = 1


class Load(msgspec.Struct, frozen=True):
    """One load of one server in one round."""

    server: str
    round: int
    kind: Kind
    clients: int
    texts: int
    """Number of embedded texts, in answers that passed the check."""
    seconds: float
    """Time from the start to the last answer, so that a late answer lowers the rate."""
    p50: float | None
    """Milliseconds of a request; this and the next are None without a good answer."""
    p95: float | None
    cpu_seconds: float | None
    """CPU time of the process and its children; this and the next are None for a URL."""
    rss_mib: float | None
    """Peak memory."""
    errors: dict[str, int]
    """Kind of error → number of requests."""

    @property
    def rate(self) -> float:
        """Texts a second."""
        return self.texts / self.seconds if self.seconds > 0 else 0.0


class Row(msgspec.Struct, frozen=True):
    """A server under one load; medians over the rounds."""

    server: str
    kind: Kind
    clients: int
    texts_per_second: float
    ratio: float | None
    """Against the first server: the median of the rounds' ratios. None for the first itself."""
    p50: float | None
    p95: float | None
    cpu_ms: float | None
    """CPU milliseconds for each text."""
    rss_mib: float | None
    errors: dict[str, int]
    """Sum over all rounds."""


class Subject(msgspec.Struct):
    """A server of the comparison."""

    name: str
    shape: str
    sampled: bool
    """Whether memory and CPU time were measured; true for a command and a URL with a known process."""
    dim: int | None = None
    cosine: float | None = None
    """Mean cosine of its vectors with the first server's; None without one to compare."""
    failure: str | None = None


class Report(msgspec.Struct, frozen=True):
    """The output of ``--json``."""

    format: int
    date: str
    commit: str
    machine: Machine
    rounds: int
    seconds: float
    clients: list[int]
    batch: int
    servers: list[Subject]
    rows: list[Row]
    loads: list[Load]


def mean_cosine(vectors: Vectors, first: Vectors) -> float | None:
    """Return the mean cosine between two servers' vectors of the same texts; None if their dimensions differ."""
    if vectors.shape != first.shape:
        return None
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(first, axis=1)
    products = (vectors * first).sum(axis=1)
    return float(np.mean(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)))


def make_rows(servers: Sequence[str], loads: Sequence[Load]) -> list[Row]:
    """Return a row for each measured server, kind and number of clients, in the servers' order."""
    first = {(load.round, load.kind, load.clients): load for load in loads if load.server == servers[0]}
    kinds: tuple[Kind, ...] = ("query", "document")
    rows = []
    for kind in kinds:
        for clients in sorted({load.clients for load in loads}):
            for server in servers:
                own = [load for load in loads if (load.server, load.kind, load.clients) == (server, kind, clients)]
                if own:
                    rows.append(_row(own, None if server == servers[0] else first))
    return rows


def _row(loads: Sequence[Load], first: dict[tuple[int, Kind, int], Load] | None) -> Row:
    errors: dict[str, int] = {}
    for load in loads:
        for kind, count in load.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    pairs = [(load, (first or {}).get((load.round, load.kind, load.clients))) for load in loads]
    cpu: Callable[[Load], float | None] = lambda load: (  # noqa: E731
        1000 * load.cpu_seconds / load.texts if load.cpu_seconds is not None and load.texts else None
    )
    return Row(
        server=loads[0].server,
        kind=loads[0].kind,
        clients=loads[0].clients,
        texts_per_second=statistics.median(load.rate for load in loads),
        ratio=_median([load.rate / other.rate for load, other in pairs if other is not None and other.rate > 0]),
        p50=_median([load.p50 for load in loads]),
        p95=_median([load.p95 for load in loads]),
        cpu_ms=_median([cpu(load) for load in loads]),
        rss_mib=_median([load.rss_mib for load in loads]),
        errors=errors,
    )


def table(report: Report) -> str:
    """Return the report as Markdown: a table for queries, one for documents, and remarks."""
    titles: dict[Kind, str] = {
        "query": "Queries, one text a request",
        "document": f"Documents, {report.batch} {'text' if report.batch == 1 else 'texts'} a request",
    }
    lines = []
    for kind, title in titles.items():
        lines += [
            f"{title}:",
            "",
            "| server | clients | texts/s | p50 ms | p95 ms | CPU ms a text | RSS MiB | cosine |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for subject in report.servers:
            own = [row for row in report.rows if (row.server, row.kind) == (subject.name, kind)]
            lines += [_line(row, subject) for row in own]
            if subject.failure is not None:
                lines.append(f"| {subject.name} | | failed: {escaped(subject.failure)} | | | | | |")
        lines.append("")
    return "\n".join([*lines, *_remarks(report)])


def _line(row: Row, subject: Subject) -> str:
    ratio = "" if row.ratio is None else f" ({row.ratio:.2f} ×)"
    cells = [
        row.server,
        str(row.clients),
        f"{row.texts_per_second:.1f}{ratio}",
        _number(row.p50, 1),
        _number(row.p95, 1),
        _number(row.cpu_ms, 2),
        _number(row.rss_mib, 0),
        _number(subject.cosine, 4),
    ]
    return f"| {' | '.join(cells)} |"


def _remarks(report: Report) -> list[str]:
    rounds = "1 round" if report.rounds == 1 else f"{report.rounds} interleaved rounds, medians"
    lines = [
        f"- {rounds}; {report.seconds:g} s a load; {report.machine.cpu}, {report.machine.cores} cores",
        f"- In brackets: against {report.servers[0].name}. Cosine: mean, with the vectors of {report.servers[0].name}.",
    ]
    called = [subject.name for subject in report.servers if not subject.sampled]
    if called:
        lines.append(f"- Called by URL, so without memory and CPU time: {', '.join(called)}")
    lines += [f"- {s.name}: {s.dim} dimensions, shape {s.shape}" for s in report.servers if s.dim is not None]
    for row in report.rows:
        if row.errors:
            lines.append(f"- {row.server}, {row.kind}, clients {row.clients}: errors: {error_counts(row.errors)}")
    return lines


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
