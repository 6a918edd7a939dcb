"""What the use case and the scheduler need of the outside, and no more; adapters and test doubles fit these."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from tandem_embedder.batching.lanes import Lane

Ids = NDArray[np.int32]
Vectors = NDArray[np.float32]


class TokenizedText(msgspec.Struct, frozen=True):
    """A text as the model takes it: ids ``(length,) int32``, special tokens included, cut at the model's limit."""

    ids: Ids
    truncated: bool
    unknown: int = 0
    """How many of the ids stand for what the vocabulary lacks."""


class Tokenizer(Protocol):
    """Texts → token ids; safe to call from several threads."""

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Return one result for each text, in order."""


class Model(Protocol):
    """Token ids → vectors; safe to call from several threads."""

    def embed(self, rows: Sequence[Ids]) -> Vectors:
        """Return ``(len(rows), dim) float32``, L2-normalised, in order.

        Raises:
            ModelError: if the model fails, or returns what cannot be vectors.
        """


class BatchReport(msgspec.Struct, frozen=True):
    """One run of the model, as it is measured."""

    lane: Lane
    rows: int
    tokens: int
    """Real tokens: padding is not among them."""
    padded_tokens: int
    """Rows × the longest, which is what the model computes."""
    seconds: float
    queue_seconds: Sequence[float]
    """How long each row waited."""


class Observer(Protocol):
    """Is told what the scheduler does; must be quick, and must not raise."""

    def batch(self, report: BatchReport) -> None:
        """A batch came back from the model."""

    def expired(self, lane: Lane, texts: int) -> None:
        """This many texts were dropped because their deadline had passed."""

    def abandoned(self, lane: Lane, texts: int) -> None:
        """This many texts were dropped because nobody waits for them any more."""
