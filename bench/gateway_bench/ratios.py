"""``python -m gateway_bench.ratios``: measures hybrid search and filtered search against plain vector search.

A stub embedder answers with synthetic vectors, and the texts are drawn by Zipf's law. One client sends each query in
each way, in turn, so that the ratios come from one run. The vectors of all queries are in the gateway's cache: the
figures are of the gateway and its indexes.

Exit status: 0 measured, 1 no measurement, 2 a wrong argument, 130 interrupted.
"""

import argparse
import http.client
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from gateway_bench.architectures.stub_embedder import QUERIES
from gateway_bench.arguments import positive_whole
from gateway_bench.keyword import zipf
from gateway_bench.scale import Subject, serving, stub_serving
from tandem_tools.client import ApiError, Client
from tandem_tools.corpus import Document
from tandem_tools.process import ProcessFailed

_PER_MILLE: Final = 1_000
# Per mille of the documents that a filter leaves.
_SHARES: Final = (1, 10, 100, 900)
_KIB: Final = 1 << 10
_FIELD: Final = "place"

Body = dict[str, Any]


def ways() -> dict[str, Body]:
    """Return the ways to search, by name, as fields of the request; the first is the one that others are compared with.

    The document with the number n has the value n modulo 1,000 in its field.
    """
    filtered = {
        f"dense, a filter leaves {share / 10:g} %": {"mode": "dense", "filter": {_FIELD: {"$lt": share}}}
        for share in _SHARES
    }
    return {"dense": {"mode": "dense"}, "hybrid": {"mode": "hybrid"}, "lexical": {"mode": "lexical"}, **filtered}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(prog="python -m gateway_bench.ratios", description=__doc__.split("\n\n")[1])
    made.add_argument("--documents", type=positive_whole, default=100_000, metavar="N", help="default: 100000")
    made.add_argument(
        "--gateway",
        default=f"{sys.executable} -m tandem_gateway",
        metavar="COMMAND",
        help="the gateway to measure (default: PYTHON -m tandem_gateway)",
    )
    made.add_argument("--rounds", type=positive_whole, default=3, metavar="N", help="over all queries (default: 3)")
    made.add_argument(
        "--queries", type=positive_whole, default=300, metavar="N", help=f"of a round, at most {QUERIES} (default: 300)"
    )
    made.add_argument("--top-k", type=positive_whole, default=10, metavar="K", help="hits of a search (default: 10)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    command = parser()
    given = command.parse_args(arguments)
    if given.queries > QUERIES:
        command.error(f"--queries: at most {QUERIES}, not {given.queries}")
    try:
        with tempfile.TemporaryDirectory() as temporary:
            subject = Subject("tandem", shlex.split(given.gateway), Path(temporary) / "tandem")
            print(measure(subject, given))
    except (ApiError, ProcessFailed, subprocess.CalledProcessError) as error:
        print(f"ratios: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def measure(subject: Subject, given: argparse.Namespace) -> str:
    """Fill the gateway and search it in each way; return the table."""
    texts = queries(given.queries)
    with stub_serving(subject.folder.parent, given.documents) as embedder_url:
        with serving(subject, embedder_url) as (port, pid), Client(f"http://127.0.0.1:{port}") as api:
            empty = resident(pid)
            api.send("PUT", "/v1/collections/default", body={"chunking": None})
            with tqdm(total=given.documents, desc="ingest", file=sys.stderr) as bar:
                api.ingest_all(documents(given.documents), progress=lambda done: bar.update(done - bar.n) and None)
        subprocess.run(
            [*subject.command, "rebuild", "--data-dir", str(subject.folder)], check=True, stdout=subprocess.DEVNULL
        )
        with serving(subject, embedder_url) as (port, pid):
            for body in ways().values():  # puts the vectors, the columns and the postings into memory
                search_all(port, texts, body, given.top_k)
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ways()}
            for _ in tqdm(range(given.rounds), desc="rounds", file=sys.stderr):
                for name, body in ways().items():
                    before = cpu_seconds(pid)
                    wall = search_all(port, texts, body, given.top_k)
                    figures[name].append((wall, 1_000 * (cpu_seconds(pid) - before) / len(texts)))
            return table(figures, given.documents, (resident(pid) - empty) / given.documents)


def documents(count: int) -> list[Document]:
    """Return the documents: the stub knows the vector of each by its first two words."""
    return [
        Document(f"d{row.row_id}", f"document {row.row_id} {row.text}", {_FIELD: row.row_id % _PER_MILLE})
        for row in zipf.rows(0, count)
    ]


def queries(count: int) -> list[str]:
    """Return queries of one to eight words, whose vectors the stub knows."""
    kinds = zipf.queries(count)
    words = [kinds[kind] for kind in ("1 word", "3 words, one in nearly all", "8 words by frequency")]
    return [f"query {number} {words[number % len(words)][number]}" for number in range(count)]


def search_all(port: int, texts: Sequence[str], body: Mapping[str, Any], top_k: int) -> float:
    """Search for every text, one after the other on one connection; return the median time in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times: list[float] = []
    for text in texts:
        encoded = json.dumps({"query": text, "top_k": top_k, **body}).encode()
        started = time.perf_counter()
        connection.request("POST", "/v1/search", encoded, {"content-type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        times.append(1_000 * (time.perf_counter() - started))
        if response.status != 200:
            raise ApiError(f"a search answered {response.status}: {answer[:300]!r}")
    connection.close()
    return statistics.median(times)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * _KIB
    raise ProcessFailed(f"process {pid} has no memory")


def table(figures: Mapping[str, Sequence[tuple[float, float]]], count: int, bytes_each: float) -> str:
    """Return the figures as a Markdown table; each is the median of the rounds, and each ratio that of their ratios."""
    lines = [
        f"{count} documents; {bytes_each:.0f} bytes of memory for each, with what searches keep",
        "",
        "| search | p50 ms | ratio | gateway CPU ms | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    first = next(iter(figures.values()))
    for name, rounds in figures.items():
        cells = []
        for which in (0, 1):
            values = [each[which] for each in rounds]
            ratios = [mine / other[which] for mine, other in zip(values, first, strict=True) if other[which]]
            cells += [f"{statistics.median(values):.2f}", f"{statistics.median(ratios or [0.0]):.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
