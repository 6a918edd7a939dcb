"""The second space of a collection: its passages embedded with another model."""

from collections.abc import Sequence
from dataclasses import dataclass

from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.coverage import Coverage
from tandem_gateway.records.documents import PendingPassage


@dataclass(frozen=True, slots=True)
class SpaceModel:
    """The model of a space; ``dim`` is the length of its vectors."""

    model: str
    fingerprint: str
    dim: int


@dataclass(frozen=True, slots=True)
class SecondSpace:
    """A space that a collection has beside the one that it serves from."""

    collection_id: int
    collection: str
    space_id: int
    target: SpaceModel
    """Model of this space."""
    serving_id: int
    """Space that the collection serves from."""
    serving: SpaceModel
    """Model of that space."""

    @property
    def switched(self) -> bool:
        """Whether the collection serves from the newer space, so that this one has the old vectors."""
        return self.space_id < self.serving_id

    @property
    def pair(self) -> tuple[int, int]:
        """The spaces: the second one, and the one that serves."""
        return self.space_id, self.serving_id


@dataclass(frozen=True, slots=True)
class Reembedding:
    """A collection's second space, and how many of its live passages have vectors in it."""

    space: SecondSpace
    passages: int
    """Passages of live documents."""
    embedded: int
    """How many of them have a vector in the second space."""
    truncated: int
    """Vectors ever stored in the second space that represent only the beginning of their passage."""

    @property
    def complete(self) -> bool:
        """Whether every live passage has a vector in the second space."""
        return self.embedded == self.passages


@dataclass(frozen=True, slots=True)
class MissingPage:
    """Some live passages that have no vector in the second space, in the order of their changes."""

    passages: list[PendingPassage]
    after: int
    """Change number after which the next page begins."""
    complete: bool
    """Whether no passage follows."""


@dataclass(frozen=True, slots=True)
class SecondVectors:
    """Vectors for a second space: row i of ``vectors`` belongs to ``passage_ids[i]``."""

    space: SecondSpace
    passage_ids: Sequence[int]
    vectors: Vectors
    fingerprint: str
    """Of the model that made them."""
    coverages: Sequence[Coverage] = ()
    """One per row; empty if the embedder does not report coverage."""


@dataclass(frozen=True, slots=True)
class SampledPassage:
    """The first passage of a document, with its vectors in both spaces: float32, little-endian."""

    passage_id: int
    serving: bytes
    second: bytes
