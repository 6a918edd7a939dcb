"""Runs the measurement: in every round, start each architecture, ingest the corpus, warm up, and load."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway_bench import queries
from gateway_bench.api import document_count, make_empty_collection, search_raw
from gateway_bench.architectures.catalogue import Architecture, Site
from gateway_bench.architectures.environments import EnvironmentFailed
from gateway_bench.architectures.running import ArchitectureFailed, Running
from gateway_bench.architectures.sampling import Sampler, Usage
from gateway_bench.load.ceiling import measure_ceiling
from gateway_bench.load.connection import Target
from gateway_bench.load.driver import Plan, Unreachable, run_load
from gateway_bench.load.timings import Summary
from gateway_bench.preflight import NothingToFind, check_target
from gateway_bench.results import Measured, Start
from tandem_tools.client import SEARCH_PATH, ApiError, Client
from tandem_tools.corpus import Document
from tandem_tools.process import free_port

TOP_K = 5

_TIMEOUT_SECONDS = 30.0
_CEILING_SECONDS = 1.0


@dataclass(frozen=True)
class Protocol:
    """The steps of a round, the same for every architecture."""

    documents: Sequence[Document]
    texts: Sequence[str]
    """Distinct queries."""
    concurrency: Sequence[int]
    seconds: float | None
    requests: int | None
    warm_up: int
    empty: bool
    """Ingest nothing, and time searches of the empty index."""
    mode: str
    """Search mode to ask for; a server without modes is asked without one."""


@dataclass
class Findings:
    """The measurements so far."""

    starts: list[Start] = field(default_factory=list)
    loads: list[Measured] = field(default_factory=list)
    ceilings: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Architecture → reason why the benchmark gave it up."""


@dataclass(frozen=True)
class Bench:
    """Where architectures run, and who gets reports."""

    folder: Path
    """Folder for data and logs; the logs stay."""
    source: Path
    """The folder that holds this package."""
    model_dir: Path
    sentence_transformers_model: Path | None
    python: Callable[[str], Path]
    report: Callable[[str], None]


def run_rounds(
    bench: Bench,
    architectures: Sequence[Architecture],
    protocol: Protocol,
    rounds: int,
    findings: Findings,
    finished: Callable[[], None],
) -> None:
    """Measure every architecture once a round, in turn, so that a change in the machine's speed affects all of them.

    An architecture that fails is given up, with its reason, and the others go on.

    Args:
        bench: where they run.
        architectures: in the order of each round.
        protocol: steps of a round.
        rounds: number of rounds.
        findings: filled during the run, so that an interruption loses nothing.
        finished: called after each architecture of each round.
    """
    for number in range(1, rounds + 1):
        for architecture in architectures:
            if architecture.key in findings.failures:
                continue
            bench.report(f"round {number} of {rounds}: {architecture.title}")
            # Each round begins at another query, which is the same for every architecture.
            shift = (number - 1) * len(protocol.texts) // rounds
            texts = [*protocol.texts[shift:], *protocol.texts[:shift]]
            try:
                _measure(bench, architecture, protocol, texts, number, findings)
            except (ArchitectureFailed, EnvironmentFailed, ApiError, NothingToFind, Unreachable) as error:
                findings.failures[architecture.key] = str(error)
                bench.report(f"  failed: {error}")
            finished()


def _measure(
    bench: Bench,
    architecture: Architecture,
    protocol: Protocol,
    texts: Sequence[str],
    number: int,
    findings: Findings,
) -> None:
    folder = bench.folder / f"{architecture.key}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site = Site(folder, bench.model_dir, free_port, bench.sentence_transformers_model)
    try:
        with Running(architecture.deploy(site), bench.python, folder, bench.source) as running:
            bench.report(f"  ready after {running.cold_start_seconds:.2f} s")
            try:
                rate, answer, mode = _fill(bench, running, protocol)
                cold_start = running.cold_start_seconds if running.is_started_here else None
                findings.starts.append(Start(architecture.key, number, cold_start, rate))
                for clients, summary, usage in _load(
                    bench,
                    running,
                    protocol,
                    [queries.search_body(text, TOP_K, mode=mode) for text in texts],
                    answer,
                    findings.ceilings,
                ):
                    findings.loads.append(Measured(architecture.key, number, clients, summary, usage))
            except (ApiError, Unreachable):
                running.check()  # if a process has ended, that is the reason to show
                raise
    finally:
        shutil.rmtree(folder / "data", ignore_errors=True)


def _fill(bench: Bench, running: Running, protocol: Protocol) -> tuple[float | None, bytes, str | None]:
    """Ingest, or create an empty collection.

    Returns:
        Documents a second, the answer to a search, and the mode to ask for; None for a server without modes.
    """
    with Client(running.url) as api:
        rate = None
        if protocol.empty:
            make_empty_collection(api)
        else:
            rate = len(protocol.documents) / api.ingest_all(protocol.documents)
            bench.report(f"  {len(protocol.documents)} documents ingested, {rate:.0f} a second")
        if not running.is_started_here:  # only a server that the benchmark did not start can hold other documents
            _check_count(api, 0 if protocol.empty else len({document.id for document in protocol.documents}))
        mode: str | None = protocol.mode
        try:
            search_raw(api, queries.search_body(queries.REPEATED, TOP_K, mode=mode))
        except ApiError as error:
            if error.status not in (400, 422):
                raise
            mode = None  # the server does not know the field
        probe = queries.search_body(queries.REPEATED, TOP_K, mode=mode)
        return rate, check_target(api, probe, allow_empty=protocol.empty), mode


def _check_count(api: Client, expected: int) -> None:
    count = document_count(api)
    if count != expected:
        told = f"{api.url} holds {count} documents, and {expected} are to be searched"
        if expected == 0:
            raise ApiError(f"{told}: restart it without data, or give it as a command, which starts empty in each run")
        raise ApiError(f"{told}: empty it first")


def _load(
    bench: Bench,
    running: Running,
    protocol: Protocol,
    bodies: Sequence[bytes],
    answer: bytes,
    ceilings: dict[str, float],
) -> Iterator[tuple[int, Summary, dict[str, Usage]]]:
    """Yield the figures of each concurrency; measure the ceilings that are still missing."""
    target = Target.of(running.url, SEARCH_PATH)
    requests = queries.endless_requests(target, bodies)
    run_load(target, requests, Plan(max(protocol.concurrency), count=protocol.warm_up))
    for connections in protocol.concurrency:
        if str(connections) not in ceilings:
            ceilings[str(connections)] = measure_ceiling(requests, answer, connections, _CEILING_SECONDS)
        plan = Plan(connections, protocol.requests, protocol.seconds, timeout=_TIMEOUT_SECONDS)
        running.check()
        with Sampler(running.pids) as sampler:
            _, summary = run_load(target, requests, plan)
        running.check()
        latency = "nothing answered" if summary.latency is None else f"p95 {summary.latency.p95:.1f} ms"
        errors = "".join(f", {count} x {kind}" for kind, count in summary.errors.items())
        bench.report(f"  clients {connections}: {summary.rps:.1f} RPS, {latency}{errors}")
        yield connections, summary, sampler.usage
