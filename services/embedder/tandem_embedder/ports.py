"""Ports of the use case and the scheduler. Adapters and test doubles implement these protocols."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from tandem_embedder.batching.lanes import Lane
from tandem_embedder.passages.shape import PassageShape

Ids = NDArray[np.int32]
Vectors = NDArray[np.float32]


class TokenizedText(msgspec.Struct, frozen=True):
    """A tokenised text: ids ``(length,) int32``, including special tokens, truncated at the model's limit."""

    ids: Ids
    truncated: bool
    unknown: int = 0
    """Number of ids that are the unknown token."""


class Tokenizer(Protocol):
    """Texts → token ids. Thread-safe."""

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Return one result for each text, in order."""


class Span(NamedTuple):
    """Part of a text: offsets of its first character and after its last, in code points."""

    start: int
    end: int


class Splitter(Protocol):
    """Text → passages. Thread-safe."""

    def split(self, text: str, shape: PassageShape) -> list[Span]:
        """Return the passages of a text of one window, in order; none for white space.

        Every character that is not white space is in a passage. The time may grow with the square of the text's length.
        """


class Model(Protocol):
    """Token ids → vectors. Thread-safe."""

    def embed(self, rows: Sequence[Ids]) -> Vectors:
        """Return ``(len(rows), dim) float32``, L2-normalised, in order.

        Raises:
            ModelError: if the model fails or returns invalid vectors.
        """


class BatchReport(msgspec.Struct, frozen=True):
    """Measurements of one batch."""

    lane: Lane
    rows: int
    tokens: int
    """Tokens without padding."""
    padded_tokens: int
    """Rows × longest row: the tokens that the model computes."""
    seconds: float
    """Inference time."""
    queue_seconds: Sequence[float]
    """Queue time of each row."""


class Observer(Protocol):
    """Receives the scheduler's events on the event loop. The methods must be fast and must not raise."""

    def batch(self, report: BatchReport) -> None:
        """Record a batch that the model has computed."""

    def expired(self, lane: Lane, texts: int) -> None:
        """Record the number of texts that the scheduler dropped at their deadline."""

    def abandoned(self, lane: Lane, texts: int) -> None:
        """Record the number of texts that the scheduler dropped because their request ended."""
