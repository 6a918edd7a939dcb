"""``python -m gateway_bench.compare``: measures every architecture on this machine, in turn, round by round.

Exit status: 0 measured (the table names an architecture that failed or was skipped), 1 nothing could be measured,
2 a wrong argument, 130 interrupted; the measurements so far are written anyway.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway_bench import corpus, queries
from gateway_bench.architectures.catalogue import ARCHITECTURES, READY_SECONDS, Architecture
from gateway_bench.architectures.environments import REPOSITORY, EnvironmentFailed, Environments
from gateway_bench.architectures.models import fetched_model, prepared_model
from gateway_bench.architectures.outside import Outside, add_pids, outside_architecture, read_outside, with_pids
from gateway_bench.arguments import positive, positive_whole, several
from gateway_bench.experiment import TOP_K, Bench, Findings, Protocol, run_rounds
from gateway_bench.machine import commit_of, this_machine
from gateway_bench.report import write_report
from gateway_bench.results import FORMAT, Results, Subject, Workload, write_results
from tandem_tools.corpus import Document
from tandem_tools.group import interrupt_once

RESULTS_NAME = "results.json"

_QUICK_DOCUMENTS = 200


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(
        prog="python -m gateway_bench.compare",
        description="Measure the architectures on this machine. Each runs in an environment of its own and gets the "
        "same documents and queries. Then write tables and figures.",
        epilog="Architectures: " + "; ".join(f"{a.key}: {a.description}" for a in ARCHITECTURES.values()) + ". "
        "pip takes PyTorch from its configured package index. PyTorch's own index has a build for CPUs alone (0.2 GB "
        "instead of 3 GB): name it in PIP_EXTRA_INDEX_URL.",
    )
    made.add_argument(
        "--architectures",
        type=_keys,
        default=list(ARCHITECTURES),
        metavar="KEY[,KEY...]",
        help=f"some of {','.join(ARCHITECTURES)} (default: all); none measures only the servers of --also",
    )
    made.add_argument(
        "--also",
        type=_outside,
        action="append",
        default=[],
        metavar="NAME=URL|COMMAND",
        help="also measure a server that has the client API; again for another. A command gets a port by {port} or the "
        "variable PORT, and a folder by {data}; /readyz or /healthz says when it is ready. A URL must hold no "
        "documents and gets the corpus; its memory and CPU time are unknown without --pid",
    )
    add_pids(made)
    made.add_argument(
        "--ready-seconds",
        type=positive,
        default=READY_SECONDS,
        metavar="S",
        help="a command of --also must be ready within this time; raise it for a slow start (default: %(default)g)",
    )
    made.add_argument("--rounds", type=positive_whole, help="interleaved repeats; tables show medians (default: 3)")
    length = made.add_mutually_exclusive_group()
    length.add_argument("--duration", type=positive, metavar="SECONDS", help="length of each load (default: 10)")
    length.add_argument("-n", "--requests", type=positive_whole, metavar="N", help="or requests of each load")
    made.add_argument(
        "-c",
        "--concurrency",
        type=several(positive_whole),
        metavar="N[,N...]",
        help="clients; each number is a load of its own (default: 1,16,64)",
    )
    made.add_argument(
        "--corpus",
        type=Path,
        metavar="FILE",
        help='JSON lines with "id" and "text" (default: the standard library\'s docstrings)',
    )
    made.add_argument(
        "--documents", type=positive_whole, metavar="N", help="take this many of the documents, evenly spread"
    )
    made.add_argument(
        "--warm-up", type=positive_whole, default=300, metavar="N", help="requests before each load (default: 300)"
    )
    made.add_argument(
        "--mode",
        default="dense",
        help="search mode to ask for; a server without modes is asked without one (default: %(default)s)",
    )
    made.add_argument("--allow-empty", action="store_true", help="ingest nothing, and time the empty index")
    made.add_argument(
        "--quick", action="store_true", help="check that everything works: one round, short loads, few documents"
    )
    made.add_argument("--out", type=Path, default=Path("bench/results"), metavar="DIR", help="default: bench/results")
    made.add_argument(
        "--work", type=Path, default=Path(".cache/bench"), metavar="DIR", help="data and logs (default: .cache/bench)"
    )
    made.add_argument(
        "--venvs",
        type=Path,
        default=Path(".venv-bench"),
        metavar="DIR",
        help="folder of the environments (default: .venv-bench)",
    )
    made.add_argument(
        "--python-a", type=Path, metavar="PATH", help="interpreter that has the packages of architecture A"
    )
    made.add_argument(
        "--model-dir",
        type=Path,
        default=Path("models/all-MiniLM-L6-v2"),
        metavar="DIR",
        help="the prepared model; it is prepared if it is missing (default: models/all-MiniLM-L6-v2)",
    )
    made.add_argument("--model-a", type=Path, metavar="DIR", help="the same model as a sentence-transformers folder")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    command = parser()
    options = _with_defaults(command.parse_args(arguments))
    try:
        options.also = with_pids(options.also, options.pid)
    except ValueError as error:
        command.error(str(error))
    names = [*options.architectures, *(server.name for server in options.also)]
    if repeated := [name for name in names if names.count(name) > 1]:
        command.error(f"two of the servers are named {repeated[0]!r}")
    if not names:
        command.error("--architectures none leaves nothing to measure without --also")
    interrupt_once()
    try:
        return _compare(options)
    except (EnvironmentFailed, ValueError, OSError) as error:
        print(f"gateway_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gateway_bench: interrupted; no process is left", file=sys.stderr)
        return 130


def _with_defaults(options: argparse.Namespace) -> argparse.Namespace:
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.concurrency = options.concurrency or ([1, 16] if options.quick else [1, 16, 64])
    options.documents = options.documents or (_QUICK_DOCUMENTS if options.quick else None)
    if options.duration is None and options.requests is None:
        options.duration = 2.0 if options.quick else 10.0
    return options


def _keys(text: str) -> list[str]:
    return [] if text == "none" else several(_key)(text)


def _key(text: str) -> str:
    if text not in ARCHITECTURES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(ARCHITECTURES)}")
    return text


def _outside(text: str) -> Outside:
    name, _, what = text.partition("=")
    try:
        if name in ARCHITECTURES:
            raise ValueError(f"{name!r} is the name of an architecture")
        return read_outside(name, what)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _compare(options: argparse.Namespace) -> int:
    began = time.monotonic()
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    commit = commit_of(REPOSITORY)
    documents, source = _documents(options)
    texts = queries.make_queries(documents)
    given = {"monolith": options.python_a.absolute()} if options.python_a is not None else {}
    environments = Environments(options.venvs, _say, given)
    others = [outside_architecture(server, options.ready_seconds) for server in options.also]
    chosen = [*(ARCHITECTURES[key] for key in options.architectures), *others]
    tested = _prepare_environments(chosen, environments)
    usable = [architecture for architecture in chosen if tested[architecture.key].failure is None]
    if not usable:
        raise EnvironmentFailed("no architecture can be run: " + "; ".join(str(t.failure) for t in tested.values()))
    model_dir = options.model_dir
    if any(architecture.environments for architecture in usable):
        model_dir = prepared_model(model_dir, environments, _say)
    model_a = options.model_a
    if model_a is None and any(architecture.needs_torch for architecture in usable):
        model_a = fetched_model(environments)
    bench = Bench(
        options.work.resolve(),
        REPOSITORY / "bench",
        model_dir.resolve(),
        model_a.resolve() if model_a is not None else None,
        environments.python,
        _say,
    )
    protocol = Protocol(
        documents,
        texts,
        options.concurrency,
        options.duration,
        options.requests,
        options.warm_up,
        options.allow_empty,
        options.mode,
    )
    findings = Findings()
    workload = Workload(
        corpus=source,
        documents=0 if options.allow_empty else len(documents),
        corpus_sha256=corpus.digest(documents),
        queries=f"{len(texts)} distinct queries of 5 to 11 words from the corpus, in the mode {options.mode}",
        top_k=TOP_K,
        concurrency=options.concurrency,
        rounds=options.rounds,
        seconds=options.duration,
        requests=options.requests,
        warm_up=options.warm_up,
    )
    path = options.out / RESULTS_NAME

    def results() -> Results:
        failed = [msgspec.structs.replace(t, failure=findings.failures.get(t.key, t.failure)) for t in tested.values()]
        return Results(
            FORMAT, date, commit, this_machine(), workload, findings.ceilings, failed, findings.starts, findings.loads
        )

    run_rounds(bench, usable, protocol, options.rounds, findings, lambda: write_results(path, results()))
    if not findings.loads:
        _say("nothing could be measured")
        return 1
    for written in write_report(results(), None, options.out):
        _say(f"written: {written}")
    _say(f"{path}; {time.monotonic() - began:.0f} s in all")
    return 0


def _documents(options: argparse.Namespace) -> tuple[list[Document], str]:
    documents, source = corpus.read_corpus(options.corpus)
    if options.documents is not None and options.documents < len(documents):
        step = len(documents) / options.documents
        documents = [documents[int(number * step)] for number in range(options.documents)]
    return documents, source


def _prepare_environments(chosen: Sequence[Architecture], environments: Environments) -> dict[str, Subject]:
    tested = {}
    for architecture in chosen:
        versions: dict[str, str] = {}
        failure = None
        try:
            for name in architecture.environments:
                versions |= environments.versions(name)
        except EnvironmentFailed as error:
            failure = str(error)
            _say(f"{architecture.title} is skipped: its environment cannot be made: {failure}")
        tested[architecture.key] = Subject(
            architecture.key,
            architecture.title,
            architecture.description,
            versions,
            failure,
            failure is not None,
            architecture.sampled,
        )
    return tested


def _say(line: str) -> None:
    print(f"gateway_bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
