"""The results of a comparison, as stored in ``results.json``; all tables and figures come from them."""

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
    """Process → its memory and CPU time during the load."""


class Start(msgspec.Struct, frozen=True):
    """One start of an architecture: the time until it was ready, and the rate of its ingest."""

    architecture: str
    round: int
    cold_start_seconds: float | None
    """None for a server that the benchmark did not start."""
    ingest_docs_per_second: float | None
    """None without an ingest."""


class Subject(msgspec.Struct, frozen=True):
    """An architecture of the comparison."""

    key: str
    title: str
    description: str
    versions: dict[str, str]
    failure: str | None = None
    """Reason why results are missing."""
    skipped: bool = False
    """Whether it was left out, for the reason in ``failure``."""
    sampled: bool = True
    """False for a server that was called by URL without a known process: its memory and CPU time are unknown."""


class Machine(msgspec.Struct, frozen=True):
    """The machine of the measurement."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str


class Workload(msgspec.Struct, frozen=True):
    """The work of every architecture."""

    corpus: str
    documents: int
    """Number of ingested documents; 0 for a comparison of empty indexes."""
    corpus_sha256: str
    queries: str
    top_k: int
    concurrency: list[int]
    rounds: int
    seconds: float | None
    """Length of a load; None if it had a number of requests."""
    requests: int | None
    warm_up: int


class Results(msgspec.Struct, frozen=True):
    """A comparison."""

    format: int
    date: str
    """Time of the start; UTC."""
    commit: str
    machine: Machine
    workload: Workload
    ceilings: dict[str, float]
    """Concurrency → requests a second of the client against a server that does nothing."""
    architectures: list[Subject]
    starts: list[Start]
    loads: list[Measured]


class UnreadableResults(Exception):
    """The file holds no results of this format; the message names the file and the reason."""


def write_results(path: Path, results: Results) -> None:
    """Write results as indented JSON, so that people can read and compare them."""
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
