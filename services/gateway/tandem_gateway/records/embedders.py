"""Replies of embedders, and the state of their replicas."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.chunking import Span
from tandem_gateway.records.coverage import WHOLE, Coverage, most


class Embeddings(msgspec.Struct, frozen=True):
    """An embedder's reply: one row of ``vectors`` per text or, if it split the texts, per passage."""

    vectors: Vectors
    model: str
    fingerprint: str
    coverages: Sequence[Coverage] = ()
    """One per row; empty if the embedder does not report coverage."""
    tokens: Sequence[int] = ()
    """Number of tokens of each row that the model read; empty if the embedder does not report it."""
    spans: Sequence[Sequence[Span]] | None = None
    """For each text its passages, at least one, whose vectors follow each other; None if it did not split them."""

    def coverages_of_texts(self) -> Sequence[Coverage]:
        """Return for each text whether any passage is truncated, and the largest share of unknown tokens."""
        if self.spans is None or not self.coverages:
            return self.coverages
        rows = iter(self.coverages)
        return [most(itertools.islice(rows, len(spans))) for spans in self.spans]

    def tokens_of_texts(self) -> list[int]:
        """Return the tokens that the model read of each text; empty if the embedder does not report them."""
        if self.spans is None or not self.tokens:
            return list(self.tokens)
        rows = iter(self.tokens)
        return [sum(itertools.islice(rows, len(spans))) for spans in self.spans]

    def query_vectors(self) -> "list[QueryVector]":
        """Return the vector of each text, which is a query."""
        coverages = self.coverages or [WHOLE] * len(self.vectors)
        tokens: Sequence[int | None] = self.tokens or [None] * len(self.vectors)
        return [
            QueryVector(vector, self.model, self.fingerprint, coverage, count)
            for vector, coverage, count in zip(self.vectors, coverages, tokens, strict=True)
        ]


class QueryVector(msgspec.Struct, frozen=True):
    """The vector of one query, ``(dim,) float32`` of unit length, and the model that made it."""

    vector: Vectors
    model: str
    fingerprint: str
    coverage: Coverage = WHOLE
    tokens: int | None = None
    """Number of the query's tokens that the model read; None if the embedder did not report it."""


class ServedModel(msgspec.Struct, frozen=True):
    """The model of an embedder; the fields after ``fingerprint`` are None if the embedder did not report them."""

    fingerprint: str
    model: str | None = None
    dim: int | None = None
    """Dimension of its vectors."""
    max_tokens: int | None = None
    """Number of tokens, including special tokens, that it reads of a text."""
    precision: str | None = None


ReplicaStatus = Literal["serving", "ejected", "draining"]
"""``serving``: in rotation. ``ejected``: out of rotation after failures. ``draining``: its name no longer resolves to
it, and it only finishes the calls in flight."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One embedder of a pool."""

    label: str
    status: ReplicaStatus
    in_flight: int
    served: ServedModel | None
    """The model that it described or that made its last reply, whichever is newer; None if neither is known."""

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of its model; None if it is not known."""
        return self.served.fingerprint if self.served is not None else None


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool of embedders."""

    name: str
    replicas: list[ReplicaState]
