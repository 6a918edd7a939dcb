"""Measures embedding servers: in every round, start, probe, warm up and load each of them."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gateway_bench.architectures.sampling import Sampler
from gateway_bench.embedding.figures import Load, Subject, mean_cosine
from gateway_bench.embedding.server import EmbeddingServer, Serving, serving
from gateway_bench.embedding.shapes import Vectors, WrongAnswer
from gateway_bench.load.connection import Target
from gateway_bench.load.driver import Plan, Unreachable, run_load
from gateway_bench.wording import error_counts
from tandem_contract.embed import Kind
from tandem_tools.process import ProcessFailed

_PROBES = 16
_TIMEOUT_SECONDS = 60.0
_KINDS: tuple[Kind, ...] = ("query", "document")


@dataclass(frozen=True)
class Protocol:
    """The steps of a round, the same for every server."""

    queries: Sequence[str]
    documents: Sequence[str]
    clients: Sequence[int]
    batch: int
    """Documents in a request."""
    rounds: int
    seconds: float
    """Length of a load."""
    warm_up: int
    """Requests of each kind before the loads, not measured."""
    ready_seconds: float
    model: str
    """Name that the shape ``openai`` sends."""

    @property
    def loads_of_a_round(self) -> int:
        """Number of loads of one server."""
        return len(_KINDS) * len(self.clients)

    def batches(self, kind: Kind, round_number: int) -> list[Sequence[str]]:
        """Return the texts of each request. Each round begins at another text, which is the same for every server."""
        texts, size = (self.queries, 1) if kind == "query" else (self.documents, self.batch)
        batches = [texts[start : start + size] for start in range(0, len(texts) - size + 1, size)]
        shift = (round_number - 1) * len(batches) // self.rounds
        return [*batches[shift:], *batches[:shift]]


@dataclass
class Findings:
    """The measurements so far."""

    subjects: dict[str, Subject]
    loads: list[Load] = field(default_factory=list)
    reference: Vectors | None = None
    """The first server's vectors of the probes."""


def run_rounds(
    servers: Sequence[EmbeddingServer],
    protocol: Protocol,
    folder: Path,
    findings: Findings,
    advance: Callable[[str, int], None],
) -> None:
    """Measure every server once a round, in turn; a server that fails is given up, and the others go on.

    Args:
        servers: the first is the one that the others are compared with.
        protocol: steps of a round.
        folder: gets one folder for each start of a command.
        findings: filled during the run, so that an interruption loses nothing.
        advance: called with the server's name and the number of loads that were done or given up.
    """
    for number in range(1, protocol.rounds + 1):
        for server in servers:
            subject = findings.subjects[server.name]
            before = len(findings.loads)
            if subject.failure is None:
                started = serving(server, protocol.model, folder / f"{server.name}-{number}", protocol.ready_seconds)
                try:
                    with started as up:
                        _probe(up, protocol, subject, findings, is_first=server is servers[0])
                        for load in _loads(up, protocol, number):
                            findings.loads.append(load)
                            advance(server.name, 1)
                except ProcessFailed as error:
                    subject.failure = error.line
                except (WrongAnswer, Unreachable) as error:
                    subject.failure = str(error)
            advance(server.name, protocol.loads_of_a_round - (len(findings.loads) - before))


def _probe(up: Serving, protocol: Protocol, subject: Subject, findings: Findings, *, is_first: bool) -> None:
    """Note the dimension, and compare vectors with the first server's."""
    documents = up.embed(protocol.documents[: min(_PROBES, protocol.batch)], "document")
    queries = [up.embed([query], "query") for query in protocol.queries[:_PROBES]]
    subject.dim = documents.shape[1]
    if any(vectors.shape[1] != subject.dim for vectors in queries):
        raise WrongAnswer("queries and documents have vectors of different dimensions")
    found: Vectors = np.vstack([documents, *queries])
    if is_first:
        findings.reference = found
    elif findings.reference is not None:
        subject.cosine = mean_cosine(found, findings.reference)


def _loads(up: Serving, protocol: Protocol, number: int) -> Iterator[Load]:
    for kind in _KINDS:
        size = 1 if kind == "query" else protocol.batch
        target = Target.of(up.url, up.server.shape.path)
        requests = itertools.cycle([target.request(up.body(batch, kind)) for batch in protocol.batches(kind, number)])
        dim = up.embed(protocol.queries[:1], "query").shape[1]

        def check(body: bytes, size: int = size, dim: int = dim) -> str | None:
            try:
                up.server.shape.vectors(body, size, dim)
            except WrongAnswer as error:
                return f"wrong answer: {error}"
            return None

        run_load(target, requests, Plan(max(protocol.clients), count=protocol.warm_up, timeout=_TIMEOUT_SECONDS))
        for clients in protocol.clients:
            up.check()
            plan = Plan(clients, seconds=protocol.seconds, timeout=_TIMEOUT_SECONDS)
            with Sampler(up.pids) as sampler:
                timings, summary = run_load(target, requests, plan, check=check)
            up.check()
            if not summary.ok:
                told = error_counts(summary.errors) or "none came"
                raise ProcessFailed(f"{clients} clients got no usable answer: {told}")
            usage = sampler.usage.get(up.server.name)
            yield Load(
                server=up.server.name,
                round=number,
                kind=kind,
                clients=clients,
                texts=summary.ok * size,
                seconds=max(timings.done),
                p50=summary.latency.p50 if summary.latency is not None else None,
                p95=summary.latency.p95 if summary.latency is not None else None,
                cpu_seconds=usage.cpu_seconds if usage is not None else None,
                rss_mib=usage.rss_peak if usage is not None else None,
                errors=summary.errors,
            )
