"""``python -m gateway_bench.scale``: measures a gateway and its index at several sizes, without a model.

A stub embedder answers with synthetic vectors. Each gateway stores the documents and builds its index. One client then
sends queries whose vectors the gateway has in its cache. Several gateways are searched in turn, so that their ratio
comes from one run.

Exit status: 0 measured, 1 no measurement, 2 a wrong argument, 130 interrupted.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tqdm import tqdm

from gateway_bench import synthetic
from gateway_bench.architectures.stub_embedder import QUERIES
from gateway_bench.arguments import positive_whole, several
from gateway_bench.stubbed import (
    COMMAND,
    StubbedGateway,
    check_queries,
    exit_status,
    ingest,
    rebuild,
    search_all,
    serving,
    stub_serving,
)
from tandem_tools.client import Client
from tandem_tools.corpus import Document

_FILLER: Final = "a sentence that stands for the text which a document has. " * 7


@dataclass
class Subject(StubbedGateway):
    """A gateway to measure, and its figures."""

    ingest_rate: float = 0.0
    """Documents a second."""
    build_seconds: float = 0.0
    start_seconds: float = 0.0
    recall: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    """Median time of a search in each round."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(
        prog="python -m gateway_bench.scale", description=__doc__.split("\n\n")[1], epilog="Ratios are to the first."
    )
    made.add_argument(
        "--vectors",
        type=several(positive_whole),
        default=[1_400, 10_000],
        metavar="N[,...]",
        help="numbers of documents to measure",
    )
    made.add_argument(
        "--gateway",
        action="append",
        metavar="NAME=COMMAND",
        help="a gateway to measure; again for another (default: tandem='PYTHON -m tandem_gateway')",
    )
    made.add_argument(
        "--rounds", type=positive_whole, default=9, metavar="N", help="rounds over all queries (default: 9)"
    )
    made.add_argument(
        "--queries", type=positive_whole, default=QUERIES, metavar="N", help=f"queries of a round, at most {QUERIES}"
    )
    made.add_argument("--top-k", type=positive_whole, default=10, metavar="N", help="hits of a search (default: 10)")
    made.add_argument(
        "--folder", type=Path, metavar="DIR", help="folder for the data, kept and used again (default: a temporary one)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table for each size."""
    command = parser()
    given = command.parse_args(arguments)
    check_queries(command, given.queries)
    gateways = [each.partition("=") for each in given.gateway or [f"tandem={COMMAND}"]]
    if not all(name and text for name, _, text in gateways):
        command.error("--gateway: NAME=COMMAND was expected")

    def measure_all(temporary: Path) -> None:
        for count in given.vectors:
            folder = (given.folder or temporary) / str(count)
            subjects = [Subject(name, shlex.split(text), folder / name) for name, _, text in gateways]
            measure(subjects, count, given)
            print(table(subjects, count, given.top_k), flush=True)

    return exit_status("scale", measure_all)


def measure(subjects: Sequence[Subject], count: int, given: argparse.Namespace) -> None:
    """Fill and search the gateways, and store the times in the subjects."""
    with stub_serving(subjects[0].folder.parent, count) as url:
        for subject in subjects:
            if not (subject.folder / "complete").exists():
                fill(subject, count, url)
        with ExitStack() as running:
            ports = []
            for subject in subjects:
                started = time.monotonic()
                port, _ = running.enter_context(serving(subject, url))
                ports.append(port)
                subject.start_seconds = time.monotonic() - started
            vectors, asked = synthetic.documents(count), synthetic.queries(given.queries)
            for subject, gateway in zip(subjects, ports, strict=True):
                # This also puts the vectors of all queries into the gateway's cache.
                _, found = search(gateway, given.queries, given.top_k)
                subject.recall = synthetic.recall(found, vectors, asked)
            for round_number in tqdm(range(given.rounds), desc=f"{count} vectors, rounds", file=sys.stderr):
                turn = list(zip(subjects, ports, strict=True))
                for subject, gateway in turn if round_number % 2 else reversed(turn):
                    times, _ = search(gateway, given.queries, given.top_k)
                    subject.milliseconds.append(statistics.median(times))


def fill(subject: Subject, count: int, embedder_url: str) -> None:
    """Store the documents and build the index; then write the file ``complete``."""
    documents = [Document(f"d{number}", f"document {number} {_FILLER}") for number in range(count)]
    with serving(subject, embedder_url) as (port, _), Client(f"http://127.0.0.1:{port}") as api:
        api.send("PUT", "/v1/collections/default", body={"chunking": None})  # the stub knows no parts of a text
        subject.ingest_rate = count / ingest(api, documents, f"{subject.name}: ingest")
    subject.build_seconds = rebuild(subject)
    (subject.folder / "complete").touch()


def search(port: int, queries: int, top_k: int) -> tuple[list[float], list[list[int]]]:
    """Search for every query; return the milliseconds of each, and the numbers of the documents found."""
    times, replies = search_all(
        port, ({"query": f"query {number}", "top_k": top_k, "mode": "dense"} for number in range(queries))
    )
    return times, [[int(hit["id"][1:]) for hit in json.loads(reply)["results"]] for reply in replies]


def table(subjects: Sequence[Subject], count: int, top_k: int) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"{count} vectors",
        "",
        f"| gateway | search p50 ms | ratio | recall@{top_k} | ingest docs/s | index s | start s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for subject in subjects:
        pairs = zip(subject.milliseconds, subjects[0].milliseconds, strict=True)
        ratio = statistics.median(mine / first for mine, first in pairs)
        lines.append(
            f"| {subject.name} | {statistics.median(subject.milliseconds):.3f} | {ratio:.3f} | {subject.recall:.4f} | "
            f"{subject.ingest_rate:.0f} | {subject.build_seconds:.1f} | {subject.start_seconds:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
