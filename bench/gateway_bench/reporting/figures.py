"""Draws the figures of a comparison as SVG and PNG; the only module that imports matplotlib."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")  # no display

from matplotlib import pyplot

from gateway_bench.load.timings import QUANTILES
from gateway_bench.reporting.aggregate import ArchitectureRow, reference_concurrency
from gateway_bench.results import Results

# Okabe and Ito's colours, for people with any kind of colour vision. Each line also has its own marker.
_COLOURS = ("#000000", "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7")
_MARKERS = "osD^vPX"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gateway_bench",  # equal results give equal files
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "font.size": 10,
}


def write_figures(results: Results, rows: Sequence[ArchitectureRow], folder: Path) -> list[Path]:
    """Write the figures into a folder, and return their paths."""
    measured = [row for row in rows if row.loads]
    colours = {row.subject.key: number for number, row in enumerate(rows)}
    written = []
    draw: Callable[[Any, Sequence[ArchitectureRow], Results, dict[str, int]], None]
    for name, draw in (("latency-throughput", _throughput), ("memory", _memory), ("latency", _distribution)):
        with mpl.rc_context(_STYLE):
            figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
            draw(axes, measured, results, colours)
            for ending, extra in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 150})):
                path = folder / f"{name}.{ending}"
                figure.savefig(path, **extra)
                written.append(path)
            pyplot.close(figure)
    return written


def _throughput(axes: Any, rows: Sequence[ArchitectureRow], results: Results, colours: dict[str, int]) -> None:
    for row in rows:
        loads = [load for load in row.loads.values() if load.p95 is not None]
        number = colours[row.subject.key]
        axes.plot(
            [load.rps for load in loads],
            [load.p95 for load in loads],
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            label=row.subject.title,
        )
        for load in loads:
            axes.annotate(
                str(load.concurrency), (load.rps, load.p95), textcoords="offset points", xytext=(5, 4), fontsize=8
            )
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.set_xlabel("searches a second")
    axes.set_ylabel("p95, ms (log)")
    axes.set_title("Latency against throughput; the numbers are clients", loc="left")
    axes.legend(fontsize=8)


def _memory(axes: Any, rows: Sequence[ArchitectureRow], results: Results, colours: dict[str, int]) -> None:
    rows = [row for row in rows if row.rss]  # without the servers that were called by URL, whose memory is unknown
    for place, row in enumerate(rows):
        for offset, figures, alpha in ((-0.2, row.rss, 1.0), (0.2, row.pss, 0.55)):
            bottom = 0.0
            for value in figures.values():
                axes.barh(
                    place + offset,
                    value,
                    0.36,
                    left=bottom,
                    color=_COLOURS[colours[row.subject.key] % len(_COLOURS)],
                    alpha=alpha,
                    edgecolor="white",
                )
                bottom += value
            axes.annotate(
                f"{bottom:.0f}", (bottom, place + offset), textcoords="offset points", xytext=(4, -3), fontsize=8
            )
    axes.set_yticks(range(len(rows)), [row.subject.title for row in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("MiB")
    axes.set_title("Memory under load: RSS (upper bar) and PSS, a section a process", loc="left")


def _distribution(axes: Any, rows: Sequence[ArchitectureRow], results: Results, colours: dict[str, int]) -> None:
    concurrency = reference_concurrency(results)
    for row in rows:
        # The last round alone, since percentiles of several rounds cannot be averaged.
        loads = [
            load
            for load in results.loads
            if load.architecture == row.subject.key and load.concurrency == concurrency and load.summary.distribution
        ]
        if loads:
            axes.plot(
                loads[-1].summary.distribution,
                [100 * share for share in QUANTILES],
                color=_COLOURS[colours[row.subject.key] % len(_COLOURS)],
                label=row.subject.title,
            )
    axes.set_xscale("log")
    axes.set_xlabel("latency, ms (log)")
    axes.set_ylabel("% of searches answered by then")
    axes.set_title(f"Distribution of latency, {concurrency} clients, last round", loc="left")
    axes.legend(fontsize=8)
