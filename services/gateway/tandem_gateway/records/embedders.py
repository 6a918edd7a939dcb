"""What embedders answer, and the state of the replicas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.coverage import Coverage


class Embeddings(msgspec.Struct, frozen=True):
    """An embedder's answer."""

    vectors: Vectors
    model: str
    fingerprint: str
    coverages: Sequence[Coverage] = ()
    """One a text; empty if the embedder does not say."""


ReplicaStatus = Literal["serving", "ejected", "draining"]
"""It takes calls; it is left out after failures; its name no longer leads to it, and what is in flight ends."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One embedder of a pool."""

    label: str
    status: ReplicaStatus
    in_flight: int
    fingerprint: str | None
    """Of its last answer."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool of embedders."""

    name: str
    replicas: list[ReplicaState]
