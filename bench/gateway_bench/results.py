"""What a comparison found, as it is kept in ``results.json``: everything that tables and figures are made of."""

from pathlib import Path

import msgspec

from gateway_bench.architectures.sampling import Usage
from gateway_bench.load.timings import Summary

FORMAT = 1


class Measured(msgspec.Struct, frozen=True):
    """One load of one architecture in one round."""

    architecture: str
    round: int
    concurrency: int
    summary: Summary
    usage: dict[str, Usage]
    """Process → its memory and CPU time while it was loaded."""


class Start(msgspec.Struct, frozen=True):
    """One start of an architecture: how long until it was ready, and how fast it took the corpus."""

    architecture: str
    round: int
    cold_start_seconds: float | None
    """None for a server that ran already."""
    ingest_docs_per_second: float | None
    """None if nothing was ingested."""


class Subject(msgspec.Struct, frozen=True):
    """An architecture of the comparison."""

    key: str
    title: str
    description: str
    versions: dict[str, str]
    failure: str | None = None
    """Why there is nothing, or not all, of it."""
    skipped: bool = False
    """It was left out, for the reason in ``failure``."""
    sampled: bool = True
    """False for a server that was only called: its memory and CPU time are unknown."""


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str


class Workload(msgspec.Struct, frozen=True):
    """What was asked of every architecture."""

    corpus: str
    documents: int
    """Ingested; 0 for a comparison of empty indexes."""
    corpus_sha256: str
    queries: str
    top_k: int
    concurrency: list[int]
    rounds: int
    seconds: float | None
    """Of a load, or None if it had a count of requests."""
    requests: int | None
    warm_up: int


class Results(msgspec.Struct, frozen=True):
    """A comparison."""

    format: int
    date: str
    """When it began; UTC."""
    commit: str
    machine: Machine
    workload: Workload
    ceilings: dict[str, float]
    """Concurrency → requests a second of the client against a server that does nothing."""
    architectures: list[Subject]
    starts: list[Start]
    loads: list[Measured]


class UnreadableResults(Exception):
    """The file holds no results of this format; the message says which and why."""


def write_results(path: Path, results: Results) -> None:
    """Write results, readable and so that a diff of two shows what changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    temporary.replace(path)


def read_results(path: Path) -> Results:
    """Return the results in a file.

    Raises:
        UnreadableResults: if it holds none.
    """
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.MsgspecError) as error:
        raise UnreadableResults(f"{path} holds no results: {error}") from error
    if results.format != FORMAT:
        raise UnreadableResults(f"{path} has format {results.format}, this version reads {FORMAT}")
    return results
