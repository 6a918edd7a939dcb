"""How the texts of a collection are split into passages."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

TextFormat = Literal["text", "markdown"]
"""``markdown``: headings and blocks decide where passages begin."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """Lengths of passages; None leaves the number to the embedder."""

    max_tokens: int | None = None
    """Maximum length of a passage in tokens, with the model's special tokens. The embedder's default is its limit."""
    overlap_tokens: int | None = None
    """Tokens that a passage may repeat of the one before. The embedder's default is a tenth of ``max_tokens``."""


DEFAULT_CHUNKING = Chunking()
"""Of a new collection."""


class Split(NamedTuple):
    """How texts are split: by the rules of their collection and in their format."""

    chunking: Chunking
    format: TextFormat = "text"


class Span(NamedTuple):
    """A passage's place in its text: offsets in characters, ``stop`` excluded."""

    start: int
    stop: int
