"""``python -m gateway_bench.shared_store``: measures gateways that share a store in PostgreSQL, without a model.

A stub embedder answers with synthetic vectors. A gateway on SQLite and one, two and more gateways on PostgreSQL are
searched in turn, so that the ratios come from one run. Then documents are ingested at a fixed rate into all gateways on
PostgreSQL, and the time of a search is compared with that before.

The vectors of all queries are in the gateways' caches. Everything runs on this machine, PostgreSQL as well if its URL
says so: the gateways, the load and the database share its cores. The table therefore has the CPU time of a search, as a
sum over the gateways.

Exit status: 0 measured, 1 no measurement, 2 a wrong argument, 130 interrupted.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tqdm import tqdm

from gateway_bench.architectures.sampling import Sampler
from gateway_bench.architectures.stub_embedder import QUERIES
from gateway_bench.arguments import positive, positive_whole
from gateway_bench.load.connection import Target
from gateway_bench.load.driver import Plan, Unreachable, run_load
from gateway_bench.load.timings import Summary
from gateway_bench.queries import endless_requests, search_body
from gateway_bench.stubbed import StubbedGateway, check_queries, exit_status, ingest, serving, stub_serving
from tandem_tools.client import SEARCH_PATH, ApiError, Client
from tandem_tools.corpus import Document

_COMMAND: Final = [sys.executable, "-m", "tandem_gateway"]
_FILLER: Final = "a sentence that stands for the text which a document has. " * 7
_BATCH: Final = 100
_FOLLOW_SECONDS: Final = 120.0
_TOP_K: Final = 10


@dataclass
class Subject:
    """Gateways over one store, and their figures, one of each for a round."""

    name: str
    gateways: list[tuple[int, int]]
    """Port and process id of each."""
    rps: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p95: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Milliseconds of all gateways for a search."""
    pss: list[float] = field(default_factory=list)
    """MiB of all gateways."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(prog="python -m gateway_bench.shared_store", description=__doc__.split("\n\n")[1])
    made.add_argument("--store-url", required=True, metavar="URL", help="an empty database: postgresql://…")
    made.add_argument("--gateways", type=positive_whole, default=3, metavar="N", help="at most (default: 3)")
    made.add_argument("--documents", type=positive_whole, default=10_000, metavar="N", help="default: 10000")
    made.add_argument("--clients", type=positive_whole, default=16, metavar="N", help="of the load (default: 16)")
    made.add_argument("--seconds", type=positive, default=5.0, metavar="S", help="length of a load (default: 5)")
    made.add_argument("--rounds", type=positive_whole, default=3, metavar="N", help="default: 3")
    made.add_argument(
        "--queries", type=positive_whole, default=QUERIES, metavar="N", help=f"different ones, at most {QUERIES}"
    )
    made.add_argument(
        "--ingest", type=positive, default=1_000.0, metavar="RATE", help="documents a second (default: 1000)"
    )
    made.add_argument(
        "--searches", type=positive, default=100.0, metavar="RATE", help="searches a second beside it (default: 100)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    command = parser()
    given = command.parse_args(arguments)
    check_queries(command, given.queries)

    def measure_all(temporary: Path) -> None:
        try:
            measure(given, temporary)
        except Unreachable as error:
            raise ApiError(str(error)) from error

    return exit_status("shared_store", measure_all)


def measure(given: argparse.Namespace, folder: Path) -> None:
    """Run both parts, and print a table for each."""
    ingested = round(given.ingest * given.seconds) * given.rounds
    shared = {"TANDEM_STORE_URL": given.store_url}
    with ExitStack() as running:
        url = running.enter_context(stub_serving(folder, given.documents + ingested + _BATCH))
        embedded = running.enter_context(serving(StubbedGateway("sqlite", _COMMAND, folder / "sqlite"), url))
        gateways = [
            running.enter_context(serving(StubbedGateway(name, _COMMAND, folder / name, shared), url))
            for name in (f"postgresql-{number + 1}" for number in range(given.gateways))
        ]
        for name, (port, _) in (("sqlite", embedded), ("postgresql", gateways[0])):
            rate = fill(port, given.documents, f"{name}: ingest")
            print(f"{name}: {rate:.0f} documents a second", flush=True)
        for port, _ in (embedded, *gateways):
            follow(port, given.documents, given.queries)
        subjects = [Subject("SQLite, 1 gateway", [embedded])]
        subjects += [
            Subject(f"PostgreSQL, {count} gateway{'s' if count > 1 else ''}", gateways[:count])
            for count in range(1, given.gateways + 1)
        ]
        compare(subjects, given)
        print(table(subjects), flush=True)
        beside_ingest(gateways, given)


def fill(port: int, count: int, title: str) -> float:
    """Store documents through a gateway; return how many a second."""
    documents = [document(number) for number in range(count)]
    with Client(f"http://127.0.0.1:{port}") as api:
        api.send("PUT", "/v1/collections/default", body={"chunking": None})  # the stub knows no parts of a text
        return count / ingest(api, documents, title)


def document(number: int) -> Document:
    """Return the document whose vector the stub knows by this number."""
    return Document(f"d{number}", f"document {number} {_FILLER}")


def follow(port: int, count: int, queries: int) -> None:
    """Wait until a gateway finds the last document; put the vectors of all queries into its cache.

    Raises:
        ApiError: if it does not find the document in two minutes.
    """
    until = time.monotonic() + _FOLLOW_SECONDS
    with Client(f"http://127.0.0.1:{port}") as api:
        while count not in (found := {each.document_count for each in api.collections()}):
            if time.monotonic() > until:
                raise ApiError(f"a gateway has {sorted(found)} documents after {_FOLLOW_SECONDS:g} s, not {count}")
            time.sleep(0.1)
        for number in range(queries):
            api.search(f"query {number}", 1, mode="dense")


def compare(subjects: Sequence[Subject], given: argparse.Namespace) -> None:
    """Load the subjects in turn, and store the figures in them."""
    for number in tqdm(range(given.rounds), desc="rounds", file=sys.stderr):
        for subject in subjects if number % 2 else reversed(subjects):
            with Sampler({str(pid): pid for _, pid in subject.gateways}) as sampler:
                loads = load(subject.gateways, given.queries, Plan(given.clients, seconds=given.seconds))
            searches = sum(each.ok for each in loads)
            subject.rps.append(sum(each.rps for each in loads))
            subject.p50.append(middle([each.latency.p50 for each in loads if each.latency]))
            subject.p95.append(max((each.latency.p95 for each in loads if each.latency), default=float("nan")))
            usages = sampler.usage.values()
            subject.cpu.append(1_000 * sum(each.cpu_seconds for each in usages) / max(1, searches))
            subject.pss.append(sum(each.pss_peak for each in usages))


def load(gateways: Sequence[tuple[int, int]], queries: int, plan: Plan) -> list[Summary]:
    """Search all gateways at the same time; the plan's clients and rate are divided among them.

    Raises:
        ApiError: if a search fails.
    """
    rate = None if plan.rate is None else plan.rate / len(gateways)
    part = Plan(max(1, plan.connections // len(gateways)), seconds=plan.seconds, rate=rate)
    bodies = [search_body(f"query {number}", _TOP_K, mode="dense") for number in range(queries)]
    with ThreadPoolExecutor(len(gateways)) as threads:
        targets = [Target.of(f"http://127.0.0.1:{port}", SEARCH_PATH) for port, _ in gateways]
        made = [threads.submit(run_load, each, endless_requests(each, bodies), part) for each in targets]
        summaries = [each.result()[1] for each in made]
    for summary in summaries:
        if summary.errors or summary.empty:
            raise ApiError(f"searches failed: {summary.errors}, {summary.empty} without a hit")
    return summaries


def beside_ingest(gateways: Sequence[tuple[int, int]], given: argparse.Namespace) -> None:
    """Search at a fixed rate, alone and beside an ingest at a fixed rate, in turn; print the percentiles."""
    plan = Plan(given.clients, seconds=given.seconds, rate=given.searches)
    alone: list[float] = []
    beside: list[float] = []
    rates: list[float] = []
    following = given.documents
    count = round(given.ingest * given.seconds)
    for _ in tqdm(range(given.rounds), desc="rounds beside ingest", file=sys.stderr):
        alone.append(worst_p95(load(gateways, given.queries, plan)))
        with ThreadPoolExecutor(1) as thread:
            writing = thread.submit(ingest_paced, [port for port, _ in gateways], following, count, given.ingest)
            beside.append(worst_p95(load(gateways, given.queries, plan)))
            rates.append(writing.result())
        following += count
        for port, _ in gateways:
            follow(port, following, given.queries)
    ratios = [with_ingest / without for with_ingest, without in zip(beside, alone, strict=True)]
    print(
        f"{given.searches:g} searches a second at {len(gateways)} gateways: p95 {middle(alone):.1f} ms alone, "
        f"{middle(beside):.1f} ms beside an ingest of {middle(rates):.0f} documents a second, "
        f"ratio {middle(ratios):.2f} (medians of {given.rounds} rounds)"
    )


def ingest_paced(ports: Sequence[int], first: int, count: int, rate: float) -> float:
    """Store documents through all gateways in turn; return how many a second had their vectors at the end."""
    with ExitStack() as opened:
        clients = [opened.enter_context(Client(f"http://127.0.0.1:{port}")) for port in ports]
        started = time.monotonic()
        jobs: list[tuple[Client, str]] = []
        for number in range(0, count, _BATCH):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            api = clients[len(jobs) % len(clients)]
            batch = [document(first + each) for each in range(number, min(number + _BATCH, count))]
            jobs.append((api, api.ingest(batch).job_id))
        for api, job_id in jobs:
            api.follow(job_id)
        return count / (time.monotonic() - started)


def worst_p95(loads: Sequence[Summary]) -> float:
    """Return the p95 of the gateway where it is the longest, in milliseconds."""
    return max(each.latency.p95 for each in loads if each.latency)


def middle(values: Sequence[float]) -> float:
    """Return the median; NaN without values."""
    return statistics.median(values) if values else float("nan")


def table(subjects: Sequence[Subject]) -> str:
    """Return the figures as a Markdown table; ratios are to the first, round by round."""
    lines = [
        "| store | RPS | ratio | p50 ms | p95 ms | CPU ms a search | more than one on PostgreSQL | PSS MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for subject in subjects:
        ratio = middle([mine / first for mine, first in zip(subject.rps, subjects[0].rps, strict=True)])
        more = middle([mine - one for mine, one in zip(subject.cpu, subjects[1].cpu, strict=True)])
        lines.append(
            f"| {subject.name} | {middle(subject.rps):.0f} | {ratio:.2f} | {middle(subject.p50):.1f} | "
            f"{middle(subject.p95):.1f} | {middle(subject.cpu):.2f} | {more:+.2f} | {middle(subject.pss):.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
