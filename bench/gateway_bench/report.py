"""``python -m gateway_bench.report RESULTS.json``: writes tables and figures again from the results of a comparison."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway_bench.arguments import positive
from gateway_bench.reporting import blocks, tables
from gateway_bench.reporting.aggregate import aggregate
from gateway_bench.reporting.figures import write_figures
from gateway_bench.results import Results, UnreadableResults, read_results
from gateway_bench.retrieval.scores import QualityReport, quality_table

P95_TARGET_MS = 100.0

_REPORT_NAME = "report.md"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(
        prog="python -m gateway_bench.report",
        description="Write the tables and figures of a comparison, and update the tables in Markdown files.",
    )
    made.add_argument("results", type=Path, metavar="RESULTS.json", help="written by gateway_bench.compare")
    made.add_argument(
        "--empty", type=Path, metavar="RESULTS.json", help="a comparison with --allow-empty, to be shown beside it"
    )
    made.add_argument("--quality", type=Path, metavar="FILE", help="written by gateway_bench.quality --json")
    made.add_argument(
        "--out", type=Path, metavar="DIR", help="for report.md and the figures (default: the results' folder)"
    )
    made.add_argument(
        "--p95",
        type=positive,
        default=P95_TARGET_MS,
        metavar="MS",
        help=f"latency that the projection keeps to (default: {P95_TARGET_MS:g})",
    )
    made.add_argument(
        "--update",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="Markdown files whose blocks <!-- table:NAME --> … <!-- /table:NAME --> are replaced; names: comparison, "
        "concurrency, machine, projection, empty, quality",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        results = read_results(options.results)
        made = make_blocks(results, options.p95)
        if options.empty is not None:
            empty = read_results(options.empty)
            made["empty"] = tables.comparison(empty, aggregate(empty))
        if options.quality is not None:
            made["quality"] = quality_table(msgspec.json.decode(options.quality.read_bytes(), type=QualityReport))
        for path in write_report(results, made, options.out or options.results.parent):
            print(path)
        for path in options.update:
            text, filled = blocks.fill(path.read_text(encoding="utf-8"), made)
            path.write_text(text, encoding="utf-8")
            print(f"{path}: {', '.join(filled) or 'has none of these blocks'}")
    except (UnreadableResults, blocks.BrokenBlock, msgspec.MsgspecError, OSError) as error:
        print(f"gateway_bench: {error}", file=sys.stderr)
        return 1
    return 0


def make_blocks(results: Results, p95_target: float = P95_TARGET_MS) -> dict[str, str]:
    """Return name → Markdown of every block that one comparison gives."""
    rows = aggregate(results)
    return {
        "comparison": tables.comparison(results, rows),
        "concurrency": tables.by_concurrency(results, rows),
        "machine": tables.machine(results),
        "projection": tables.projection(results, rows, p95_target),
    }


def write_report(results: Results, made: dict[str, str] | None, folder: Path) -> list[Path]:
    """Write ``report.md`` and the figures, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = made or make_blocks(results)
    report = folder / _REPORT_NAME
    titles = {
        "comparison": "Comparison",
        "concurrency": "By concurrency",
        "machine": "Measured on",
        "projection": "Projection",
        "empty": "An empty index",
        "quality": "Retrieval quality",
    }
    sections = [f"## {title}\n\n{made[name]}\n" for name, title in titles.items() if name in made]
    report.write_text("\n".join(sections), encoding="utf-8")
    return [report, *write_figures(results, aggregate(results), folder)]


if __name__ == "__main__":
    sys.exit(main())
