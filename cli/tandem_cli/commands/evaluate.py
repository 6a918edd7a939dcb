"""The command ``eval``."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from tandem_cli.app import app
from tandem_cli.arguments import CollectionOption
from tandem_cli.evaluation.judged import JudgedQuery, read
from tandem_cli.evaluation.metrics import Interval
from tandem_cli.evaluation.runs import Mode, Run, evaluate
from tandem_cli.failures import UsageError
from tandem_cli.output import Cell, counted, print_json, print_table
from tandem_cli.progress import counting
from tandem_cli.session import Session, command
from tandem_client import Client

CONCURRENCY = 4


@command(
    app,
    "eval",
    "tandem eval queries.jsonl --qrels qrels.txt --collection books",
    "tandem eval clicks.jsonl --mode hybrid --against books-new",
)
def eval_(
    session: Session,
    queries: Annotated[Path, typer.Argument(metavar="QUERIES", help="Queries, or a query log, as JSON lines.")],
    qrels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Judgements in the format of TREC or BEIR.")
    ] = None,
    collection: CollectionOption = "default",
    against: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another collection, for comparison by the same queries.")
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option("--mode", "-m", metavar="MODE", help="dense, lexical or hybrid; may be given again."),
    ] = None,
    k: Annotated[int, typer.Option("--top-k", "-k", min=10, max=1000, help="Hits of a search.")] = 100,
    samples: Annotated[int, typer.Option(min=100, max=100_000, help="Resamples of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap; the same seed gives the same intervals.")] = 0,
) -> None:
    """Measure how well searches find the documents that were judged relevant, in each mode.

    A query log is JSON lines such as {"query": "a pet", "clicked": ["mat"]}. With --qrels, the lines are such as
    {"id": "q1", "text": "a pet"}, and the judgements have a line with query, 0, document and grade.

    Prints nDCG@10, recall@k and MRR@k, each with its 95 % bootstrap confidence interval over the queries. With
    --against, it also prints the paired differences: an interval without 0 tells a difference from chance.
    """
    judged = read(queries, qrels)
    modes = _modes(mode)
    collections = [collection] if against is None else [collection, against]
    with session.client() as client:
        for name in collections:
            client.get_collection(name)
        runs = _runs(client, judged.queries, collections, modes, k)
    if session.json:
        print_json(_as_json(runs, len(judged.queries), judged.left_out, samples, seed))
        return
    if judged.left_out:
        left_out = counted(judged.left_out, "query", "queries")
        print(f"tandem: left out: {left_out} without a relevant document", file=sys.stderr)
    print(counted(len(judged.queries), "query", "queries"))
    names = list(runs[0].values)
    rows: list[list[Cell]] = [
        [run.collection, run.mode, *(_told(value) for value in run.intervals(samples, seed).values())] for run in runs
    ]
    print_table(["collection", "mode", *names], rows, empty="no runs")
    if against is not None:
        print()
        differences: list[list[Cell]] = [
            [first.mode, *(_told(value, sign="+") for value in first.compared(second, samples, seed).values())]
            for first, second in _pairs(runs)
        ]
        print_table([f"{against} − {collection}", *names], differences, empty="no runs")


def _modes(given: list[str] | None) -> list[Mode]:
    known: tuple[Mode, ...] = get_args(Mode)
    unknown = set(given or ()).difference(known)
    if unknown:
        raise UsageError(f"--mode: one of {', '.join(known)} was expected, not {min(unknown)!r}")
    return [name for name in known if not given or name in given]


def _runs(
    client: Client, queries: list[JudgedQuery], collections: list[str], modes: Sequence[Mode], k: int
) -> list[Run]:
    def ranking(query: str, collection: str, mode: Mode) -> list[str]:
        found = client.search(query, collection=collection, mode=mode, top_k=k, exclude=("text", "metadata", "passage"))
        return [hit.id for hit in found.results]

    plan = [(collection, mode) for collection in collections for mode in modes]
    runs = []
    with counting("searching") as show, ThreadPoolExecutor(CONCURRENCY) as pool:
        done = 0
        for collection, mode in plan:
            futures = [pool.submit(ranking, query.text, collection, mode) for query in queries]
            rankings = []
            try:
                for future in futures:
                    rankings.append(future.result())
                    done += 1
                    show(done, len(plan) * len(queries))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            runs.append(evaluate(queries, rankings, collection, mode, k))
    return runs


def _pairs(runs: list[Run]) -> list[tuple[Run, Run]]:
    half = len(runs) // 2
    return list(zip(runs[:half], runs[half:], strict=True))


def _told(value: Interval, sign: str = "") -> str:
    return f"{value.mean:{sign}.3f} [{value.low:{sign}.3f}, {value.high:{sign}.3f}]"


def _as_json(runs: list[Run], queries: int, left_out: int, samples: int, seed: int) -> dict[str, Any]:
    def described(intervals: dict[str, Interval]) -> dict[str, Any]:
        return {name: asdict(value) for name, value in intervals.items()}

    told = [
        {"collection": run.collection, "mode": run.mode, "metrics": described(run.intervals(samples, seed))}
        for run in runs
    ]
    several = len({run.collection for run in runs}) > 1
    return {
        "queries": queries,
        "left_out": left_out,
        "runs": told,
        "differences": [
            {"mode": first.mode, "metrics": described(first.compared(second, samples, seed))}
            for first, second in _pairs(runs)
        ]
        if several
        else [],
    }
