"""``python -m gateway_bench.keyword_engines``: compares engines for keyword search, each behind Tandem's text analysis.

Each engine runs in a process of its own; the processes work in turn, so that a busy machine disturbs all of them alike.
A time is wall time as p50 / p95, with the median CPU time in parentheses. The engine ``store-alone`` has no index: it
shows the part of the cost of ``fts5-store`` that the documents have in any case.

Exit status: 0 measured, 1 no measurement, 2 a wrong argument, 130 interrupted.
"""

import argparse
import os
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway_bench.arguments import positive_whole, several
from gateway_bench.keyword import judged, measurements
from gateway_bench.keyword.engine import MissingPackage, require_tantivy
from gateway_bench.keyword.measurements import Table
from gateway_bench.keyword.worker import Died, Worker
from gateway_bench.retrieval.datasets import NoDataset, read_dataset

ENGINES: Final = ("fts5-file", "fts5-store", "tantivy")
_ALONE: Final = "store-alone"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(
        prog="python -m gateway_bench.keyword_engines",
        description=(__doc__ or "").split("\n\n")[1],
        epilog="The table goes to standard output as Markdown.",
    )
    made.add_argument(
        "--documents",
        type=several(positive_whole),
        default=[100_000],
        metavar="N[,...]",
        help="numbers of synthetic documents to measure (default: 100000)",
    )
    made.add_argument(
        "--corpus",
        type=Path,
        metavar="DIR",
        help="a data set with judged queries, in BEIR's or Cranfield's format, for nDCG@10 (default: none)",
    )
    made.add_argument(
        "--engines", type=several(_engine), default=list(ENGINES), metavar="NAME[,...]", help=", ".join(ENGINES)
    )
    made.add_argument(
        "--page",
        type=positive_whole,
        default=measurements.PAGE,
        metavar="N",
        help=f"documents of a commit (default: {measurements.PAGE}, as the gateway's follower)",
    )
    made.add_argument(
        "--queries", type=positive_whole, default=100, metavar="N", help="queries of each kind (default: 100)"
    )
    made.add_argument(
        "--trials", type=positive_whole, default=200, metavar="N", help="damaged copies per engine (default: 200)"
    )
    made.add_argument("--skip", type=several(_part), default=[], metavar="PART[,...]", help=", ".join(PARTS))
    made.add_argument(
        "--folder", type=Path, metavar="DIR", help="parent of the temporary folder (default: the system's)"
    )
    return made


PARTS: Final = ("rebuild", "damage")


def _engine(text: str) -> str:
    return _one_of(text, ENGINES)


def _part(text: str) -> str:
    return _one_of(text, PARTS)


def _one_of(text: str, valid: Sequence[str]) -> str:
    if text not in valid:
        raise argparse.ArgumentTypeError(f"one of {', '.join(valid)} was expected, not {text!r}")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table for each number of documents."""
    given = parser().parse_args(arguments)
    try:
        if "tantivy" in given.engines:
            require_tantivy()
        print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores\n")
        with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
            small: Table = {}
            if given.corpus is not None:
                judged.quality(small, given.engines, read_dataset(given.corpus), Path(temporary))
            judged.scripts(small, given.engines, Path(temporary))
            if "damage" not in given.skip:
                measurements.damage(small, given.engines, Path(temporary), given.trials)
            print(table("small corpora", small, given.engines), flush=True)
        for count in given.documents:
            with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
                found = measure(given, count, Path(temporary))
            print(table(f"{count} documents", found, _with_store(given.engines)), flush=True)
    except (MissingPackage, NoDataset, Died, OSError) as error:
        print(f"keyword_engines: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def measure(given: argparse.Namespace, count: int, folder: Path) -> Table:
    """Measure all engines with ``count`` documents."""
    found: Table = {}
    folders = {engine: folder / engine for engine in _with_store(given.engines)}
    for path in folders.values():
        path.mkdir()
    workers = [Worker(engine, path) for engine, path in folders.items()]
    measurements.fill(found, workers, count, given.page)
    for worker in workers:
        worker.close()
    workers = [Worker(engine, path) for engine, path in folders.items()]
    measurements.reopen(found, workers, folders)
    for worker in workers:
        if worker.engine == "fts5-file" and _ALONE in folders:
            worker.call("attach", folders[_ALONE] / "store.sqlite3")
    with_index = [worker for worker in workers if worker.engine != _ALONE]
    measurements.search(found, with_index, count, given.queries)
    measurements.remove(found, with_index, count)
    for worker in workers:
        worker.close()
    if "rebuild" not in given.skip:
        again = {engine: folder / f"{engine}-again" for engine in given.engines}
        for path in again.values():
            path.mkdir()
        workers = [Worker(engine, path) for engine, path in again.items()]
        measurements.rebuild(found, workers, count)
        for worker in workers:
            worker.close()
    return found


def _with_store(engines: Sequence[str]) -> list[str]:
    return [*engines, _ALONE] if "fts5-store" in engines else [*engines]


def table(title: str, found: Table, engines: Sequence[str]) -> str:
    """Return the figures as a Markdown table."""
    lines = [f"| {title} | {' | '.join(engines)} |", "| --- " * (len(engines) + 1) + "|"]
    for label, cells in found.items():
        lines.append(f"| {label} | {' | '.join(cells.get(engine, '') for engine in engines)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
