"""``python -m gateway_bench.scale``: measures a gateway and its index at several sizes, without a model.

A stub embedder answers with synthetic vectors. Each gateway stores the documents and builds its index. One client then
sends queries whose vectors the gateway has in its cache. Several gateways are searched in turn, so that their ratio
comes from one run.

Exit status: 0 measured, 1 no measurement, 2 a wrong argument, 130 interrupted.
"""

import argparse
import http.client
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tqdm import tqdm

from gateway_bench import synthetic
from gateway_bench.architectures.stub_embedder import QUERIES
from gateway_bench.arguments import positive_whole, several
from tandem_tools.client import ApiError, Client
from tandem_tools.corpus import Document
from tandem_tools.process import Process, ProcessFailed, free_port, inherited_environment
from tandem_tools.readiness import answers

_FILLER: Final = "a sentence that stands for the text which a document has. " * 7
_READY_SECONDS: Final = 3_600.0


@dataclass
class Subject:
    """A gateway to measure."""

    name: str
    command: list[str]
    folder: Path
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
    if given.queries > QUERIES:
        command.error(f"--queries: at most {QUERIES}, not {given.queries}")
    gateways = [each.partition("=") for each in given.gateway or [f"tandem={sys.executable} -m tandem_gateway"]]
    if not all(name and text for name, _, text in gateways):
        command.error("--gateway: NAME=COMMAND was expected")
    try:
        with tempfile.TemporaryDirectory() as temporary:
            for count in given.vectors:
                folder = (given.folder or Path(temporary)) / str(count)
                subjects = [Subject(name, shlex.split(text), folder / name) for name, _, text in gateways]
                measure(subjects, count, given)
                print(table(subjects, count, given.top_k), flush=True)
    except (ApiError, ProcessFailed, subprocess.CalledProcessError) as error:
        print(f"scale: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


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
                _, found = search_all(gateway, given.queries, given.top_k)
                subject.recall = synthetic.recall(found, vectors, asked)
            for round_number in tqdm(range(given.rounds), desc=f"{count} vectors, rounds", file=sys.stderr):
                turn = list(zip(subjects, ports, strict=True))
                for subject, gateway in turn if round_number % 2 else reversed(turn):
                    times, _ = search_all(gateway, given.queries, given.top_k)
                    subject.milliseconds.append(statistics.median(times))


def fill(subject: Subject, count: int, embedder_url: str) -> None:
    """Store the documents and build the index; then write the file ``complete``."""
    documents = [Document(f"d{number}", f"document {number} {_FILLER}") for number in range(count)]
    with serving(subject, embedder_url) as (port, _), Client(f"http://127.0.0.1:{port}") as api:
        with tqdm(total=count, desc=f"{subject.name}: ingest", file=sys.stderr) as bar:
            seconds = api.ingest_all(documents, progress=lambda done: bar.update(done - bar.n) and None)
        subject.ingest_rate = count / seconds
    started = time.monotonic()
    subprocess.run(
        [*subject.command, "rebuild", "--data-dir", str(subject.folder)], check=True, stdout=subprocess.DEVNULL
    )
    subject.build_seconds = time.monotonic() - started
    (subject.folder / "complete").touch()


@contextmanager
def stub_serving(folder: Path, count: int) -> Iterator[str]:
    """Run an embedder that knows ``count`` documents, with its log in a folder, and yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "gateway_bench.architectures.stub_embedder", str(port), str(count)]
    url = f"http://127.0.0.1:{port}"
    with _process("stub", command, folder, {}, url):
        yield url


@contextmanager
def serving(subject: Subject, embedder_url: str) -> Iterator[tuple[int, int]]:
    """Run a gateway over a subject's data, and yield its port and process id."""
    subject.folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    variables = {
        "TANDEM_GATEWAY_PORT": str(port),
        "TANDEM_DATA_DIR": str(subject.folder),
        "TANDEM_EMBEDDER_URL": embedder_url,
        "TANDEM_ACCESS_LOG": "false",
        "TANDEM_QUERY_CACHE_SIZE": str(2 * QUERIES),
    }
    with _process(
        subject.name, subject.command, subject.folder.parent, variables, f"http://127.0.0.1:{port}"
    ) as process:
        yield port, process.pid


def _process(name: str, command: Sequence[str], folder: Path, variables: dict[str, str], url: str) -> Process:
    return Process(
        name,
        command,
        folder / f"{name}.log",
        env=inherited_environment() | variables,
        cwd=folder,
        ready=answers(f"{url}/readyz"),
        ready_seconds=_READY_SECONDS,
    )


def search_all(port: int, queries: int, top_k: int) -> tuple[list[float], list[list[int]]]:
    """Search for every query, one after the other on one connection.

    Returns:
        The milliseconds of each, and the numbers of the documents found.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times: list[float] = []
    found: list[list[int]] = []
    for number in range(queries):
        body = json.dumps({"query": f"query {number}", "top_k": top_k, "mode": "dense"}).encode()
        started = time.perf_counter()
        connection.request("POST", "/v1/search", body, {"content-type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        times.append(1_000 * (time.perf_counter() - started))
        if response.status != 200:
            raise ApiError(f"a search answered {response.status}: {answer[:300]!r}")
        found.append([int(hit["id"][1:]) for hit in json.loads(answer)["results"]])
    connection.close()
    return times, found


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
