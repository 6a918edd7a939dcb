"""``python -m gateway_bench.bench URL``: loads any server that has the client API, and prints the results.

It sends the API key in TANDEM_API_KEY, if there is one.

Exit status: 0 timed, 1 it cannot be timed or gave no good answer, 2 a wrong argument, 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from tqdm import tqdm

from gateway_bench import corpus, queries
from gateway_bench.api import document_count
from gateway_bench.arguments import positive, positive_whole, several
from gateway_bench.load.ceiling import LIMIT, is_limited_by_client, measure_ceiling
from gateway_bench.load.connection import Target
from gateway_bench.load.driver import Plan, Unreachable, run_load
from gateway_bench.load.timings import Summary, Timings
from gateway_bench.preflight import NothingToFind, check_target
from tandem_tools.client import SEARCH_PATH, ApiError, Client

_DEFAULT_REQUESTS = 2000


class Run(msgspec.Struct, frozen=True):
    """One load in the JSON summary."""

    concurrency: int
    rate: float | None
    """Requests due a second, in an open loop."""
    ceiling_rps: float | None
    """Rate of this client against a server that does nothing; None if it was not measured."""
    limited_by_client: bool | None
    summary: Summary


class Report(msgspec.Struct, frozen=True):
    """The JSON summary."""

    url: str
    document_count: int
    top_k: int
    queries: str
    distinct_queries: int
    runs: list[Run]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(
        prog="python -m gateway_bench.bench",
        description="Load a search server through POST /v1/search, and print rate, latency and errors.",
        epilog="Latency counts answers with status 200; all others are errors, by kind. Percentiles are nearest-rank.",
    )
    made.add_argument("url", metavar="URL", help="base URL of the server, such as http://localhost:8000")
    load = made.add_argument_group("load")
    load.add_argument(
        "-c",
        "--concurrency",
        type=several(positive_whole),
        default=[1],
        metavar="N[,N...]",
        help="clients, each of which waits for its answer before it asks again; each number is a run of its own. "
        "With --rate: the most connections (default: 1)",
    )
    length = load.add_mutually_exclusive_group()
    length.add_argument(
        "-n",
        "--requests",
        type=positive_whole,
        metavar="N",
        help=f"requests a run (default: {_DEFAULT_REQUESTS})",
    )
    length.add_argument("-d", "--duration", type=positive, metavar="SECONDS", help="or length of a run")
    load.add_argument(
        "--rate",
        type=several(positive),
        metavar="R[,R...]",
        help="open loop: send this many requests a second whether or not answers come; latency counts from the time at "
        "which each was due, so that it includes stalls",
    )
    load.add_argument(
        "--warm-up", type=int, default=200, metavar="N", help="requests before the run, not timed (default: 200)"
    )
    load.add_argument("--timeout", type=positive, default=30.0, metavar="SECONDS", help="for one answer (default: 30)")
    asked = made.add_argument_group("queries")
    source = asked.add_mutually_exclusive_group()
    source.add_argument(
        "--queries", type=Path, metavar="FILE", help='one query a line, or JSON objects with "query" or "text"'
    )
    source.add_argument("--corpus", type=Path, metavar="FILE", help='JSON lines with "text", the source of queries')
    source.add_argument(
        "--repeat",
        nargs="?",
        const=queries.REPEATED,
        metavar="TEXT",
        help="send one query again and again, which a server may answer from a cache",
    )
    asked.add_argument("--seed", type=int, default=7, help="for the choice of queries (default: 7)")
    asked.add_argument("--top-k", type=positive_whole, default=5, metavar="K", help="hits a search (default: 5)")
    asked.add_argument("--collection", metavar="NAME", help="to search (default: the server's)")
    asked.add_argument("--mode", metavar="NAME", help="search mode, where the server has several")
    asked.add_argument("--allow-empty", action="store_true", help="time a search that finds nothing")
    shown = made.add_argument_group("output")
    shown.add_argument("--csv", type=Path, metavar="FILE", help="write one line for each request")
    shown.add_argument("--json", type=Path, metavar="FILE", help="write a summary; - is standard output")
    shown.add_argument(
        "--ceiling-seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="length of a measurement of this client against a server that does nothing; 0: none (default: 1)",
    )
    shown.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        report = _run(options)
        if options.json is not None:
            encoded = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
            if str(options.json) == "-":
                sys.stdout.buffer.write(encoded)
            else:
                options.json.write_bytes(encoded)
    except (ApiError, NothingToFind, Unreachable, ValueError, OSError) as error:
        print(f"gateway_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gateway_bench: interrupted", file=sys.stderr)
        return 130
    return 0 if all(run.summary.ok for run in report.runs) else 1


def _run(options: argparse.Namespace) -> Report:
    api_key = os.environ.get("TANDEM_API_KEY", "")
    target = Target.of(options.url, SEARCH_PATH, api_key)
    probe = queries.search_body(queries.REPEATED, options.top_k, options.collection, options.mode)
    with Client(options.url, api_key=api_key, timeout=options.timeout) as api:
        answer = check_target(api, probe, allow_empty=options.allow_empty)
        count = document_count(api)
    texts, description = _queries(options)
    bodies = [queries.search_body(text, options.top_k, options.collection, options.mode) for text in texts]
    requests = queries.endless_requests(target, bodies)
    out = sys.stderr if str(options.json) == "-" else sys.stdout
    print(f"{options.url}: {count} documents; top_k {options.top_k}; {description}", file=out)
    print(_HEADER, file=out, flush=True)
    ceilings: dict[int, float] = {}
    runs: list[Run] = []
    for connections, rate in _loads(options):
        if options.ceiling_seconds > 0 and connections not in ceilings:
            ceilings[connections] = measure_ceiling(requests, answer, connections, options.ceiling_seconds)
        if options.warm_up > 0:
            run_load(target, requests, Plan(connections, count=options.warm_up, timeout=options.timeout))
        plan = Plan(connections, _count(options), options.duration, rate, options.timeout)
        timings, summary = _timed(target, requests, plan, quiet=options.quiet)
        ceiling = ceilings.get(connections)
        limited = None if ceiling is None else is_limited_by_client(summary.rps, ceiling)
        runs.append(Run(connections, rate, ceiling, limited, summary))
        print(_line(runs[-1]), file=out, flush=True)
        if options.csv is not None:
            _write_csv(options.csv, runs, timings)
    return Report(options.url, count, options.top_k, description, len(texts), runs)


def _queries(options: argparse.Namespace) -> tuple[list[str], str]:
    if options.repeat is not None:
        return [options.repeat], f"one query, repeated: {options.repeat!r}"
    if options.queries is not None:
        texts = queries.read_queries(options.queries)
        return texts, f"{len(texts)} queries of {options.queries}"
    documents, source = corpus.read_corpus(options.corpus)
    texts = queries.make_queries(documents, seed=options.seed)
    return texts, f"{len(texts)} distinct queries of 5 to 11 words from {source}"


def _loads(options: argparse.Namespace) -> Iterator[tuple[int, float | None]]:
    for connections in options.concurrency:
        for rate in options.rate or [None]:
            yield connections, rate


def _count(options: argparse.Namespace) -> int | None:
    if options.duration is not None:
        return None
    return int(options.requests or _DEFAULT_REQUESTS)


def _timed(target: Target, requests: Iterator[bytes], plan: Plan, *, quiet: bool) -> tuple[Timings, Summary]:
    total = plan.total
    with tqdm(
        total=total if total is not None else round(plan.seconds or 0, 1),
        unit="req" if total is not None else "s",
        disable=quiet or not sys.stderr.isatty(),
        leave=False,
        desc=f"{plan.connections} clients" if plan.rate is None else f"{plan.rate:g}/s",
    ) as bar:

        def show(done: int, seconds: float) -> None:
            bar.n = done if total is not None else round(min(seconds, plan.seconds or seconds), 1)
            bar.refresh()

        return run_load(target, requests, plan, show)


_HEADER = f"{'load':>16} {'RPS':>9} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9} {'max ms':>9} {'ceiling':>9}  errors"


def _line(run: Run) -> str:
    summary = run.summary
    load = (
        f"{run.concurrency} client{'s' if run.concurrency > 1 else ''}"
        if run.rate is None
        else f"{run.rate:g}/s, {run.concurrency}"
    )
    latency = summary.latency
    figures = (
        [f"{value:9.2f}" for value in (latency.p50, latency.p95, latency.p99, latency.max)]
        if latency is not None
        else [f"{'-':>9}"] * 4
    )
    ceiling = "-" if run.ceiling_rps is None else f"{run.ceiling_rps:.0f}"
    errors = ", ".join(f"{count} x {kind}" for kind, count in summary.errors.items()) or "none"
    line = f"{load:>16} {summary.rps:9.1f} {' '.join(figures)} {ceiling:>9}  {errors}"
    if summary.empty:
        line += f"\n{'':>16} {summary.empty} of {summary.ok} answers found nothing"
    if run.limited_by_client:
        line += f"\n{'':>16} LIMITED BY THE CLIENT: over {LIMIT:.0%} of its rate against a server that does nothing"
    return line


def _write_csv(path: Path, runs: list[Run], timings: Timings) -> None:
    label = [("concurrency", runs[-1].concurrency), ("rate", runs[-1].rate or "")]
    timings.write_csv(path, label=label, append=len(runs) > 1)


if __name__ == "__main__":
    sys.exit(main())
