"""``python -m gateway_bench.ratios``: measures hybrid search and filtered search against plain vector search.

A stub embedder answers with synthetic vectors, and the texts are drawn by Zipf's law. One client sends each query in
each way, in turn, so that the ratios come from one run. The vectors of all queries are in the gateway's cache: the
figures are of the gateway and its indexes.

Exit status: 0 measured, 1 no measurement, 2 a wrong argument, 130 interrupted.
"""

import argparse
import os
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from gateway_bench.architectures.stub_embedder import QUERIES
from gateway_bench.arguments import positive_whole
from gateway_bench.keyword import zipf
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
        default=COMMAND,
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
    check_queries(command, given.queries)
    return exit_status(
        "ratios",
        lambda temporary: print(
            measure(StubbedGateway("tandem", shlex.split(given.gateway), temporary / "tandem"), given)
        ),
    )


def measure(gateway: StubbedGateway, given: argparse.Namespace) -> str:
    """Fill the gateway and search it in each way; return the table."""
    texts = queries(given.queries)
    with stub_serving(gateway.folder.parent, given.documents) as embedder_url:
        with serving(gateway, embedder_url) as (port, pid), Client(f"http://127.0.0.1:{port}") as api:
            empty = resident(pid)
            api.send("PUT", "/v1/collections/default", body={"chunking": None})
            ingest(api, documents(given.documents), "ingest")
        rebuild(gateway)
        with serving(gateway, embedder_url) as (port, pid):
            for body in ways().values():  # puts the vectors, the columns and the postings into memory
                search(port, texts, body, given.top_k)
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ways()}
            for _ in tqdm(range(given.rounds), desc="rounds", file=sys.stderr):
                for name, body in ways().items():
                    before = cpu_seconds(pid)
                    wall = search(port, texts, body, given.top_k)
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


def search(port: int, texts: Sequence[str], body: Mapping[str, Any], top_k: int) -> float:
    """Search for every text; return the median time in milliseconds."""
    times, _ = search_all(port, ({"query": text, "top_k": top_k, **body} for text in texts))
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
