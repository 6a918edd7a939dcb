"""``POST /embed``: texts in, L2-normalised vectors out. ``GET /readyz``: which model makes them.

JSON is for any client, MessagePack for the gateway; Content-Type and Accept select the format. In MessagePack,
``embeddings`` is one ``bin`` of little-endian float32, row-major ``(n, dim)``. It takes a fifth of JSON's bytes, and
the reader parses no floats.

With ``chunking``, the embedder splits each text into passages, and the reply has one row for each passage instead of
one for each text. An embedder that is older than the field refuses it with ``unknown_field``.
"""

from typing import Annotated, Final, Literal

import msgspec

PATH = "/embed"
READY_PATH = "/readyz"

MAX_DIM: Final = 8192
"""Maximum length of a vector; a reader may refuse an answer that is too large for it."""

MAX_NAME_CHARS: Final = 128
"""Maximum number of characters in a model's name or a fingerprint."""

MAX_READY_BYTES: Final = 4096
"""Maximum size of a ``ReadyReply`` in bytes; a reader ignores a larger one."""

MIN_PASSAGE_TOKENS: Final = 32
"""Lowest ``Chunking.max_tokens``."""

MAX_PASSAGES: Final = 16_384
"""Maximum number of passages in one reply; an embedder refuses a request that has more."""

Kind = Literal["document", "query"]
Priority = Literal["interactive", "bulk"]


CHARS_IN_TIMEOUT: Final = 16_384
MAX_SPLIT_SECONDS: Final = 600.0

TextFormat = Literal["text", "markdown"]
"""``markdown``: split at headings and blocks before paragraphs. Both: paragraphs before sentences before words."""


class Chunking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to split the texts of a request into passages."""

    max_tokens: int | None = None
    """Maximum length of a passage, with the model's prompt and special tokens: from 32 to the model's limit, which is
    the default."""
    overlap_tokens: int | None = None
    """Maximum number of tokens that a passage repeats of the one before: from 0 to half of ``max_tokens``. The default
    is a tenth of ``max_tokens``."""
    format: TextFormat = "text"
    """Format of all texts of the request."""


class Passage(msgspec.Struct, frozen=True, array_like=True):
    """A passage of a text: ``[text, start, end, tokens]``."""

    text: int
    """Index of the text in the request."""
    start: int
    """Offset of the first character, in code points of the text as sent."""
    end: int
    """Offset after the last character."""
    tokens: int
    """As in ``EmbedReply.tokens``."""


class EmbedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to embed; ``n`` is their number."""

    texts: list[str]
    kind: Kind = "document"
    """Selects the model's prompt prefix, if it has one."""
    truncate: bool = True
    """Cut a text at the model's limit and report it; if false, the embedder refuses a longer text with 422."""
    priority: Priority = "interactive"
    """Lane of the embedder's queue: interactive has precedence over bulk."""
    chunking: Chunking | msgspec.UnsetType | None = msgspec.UNSET
    """Split the texts into passages; without it, a text is one row of the reply."""


class EmbedReply(msgspec.Struct, frozen=True):
    """The reply in JSON."""

    embeddings: list[list[float]]
    """``n`` rows of ``dim`` floats, each of unit length: one for each text or, with ``chunking``, for each passage."""
    dim: int
    model: str
    fingerprint: str
    """Identifies everything that defines the vectors. Never compare vectors of different fingerprints."""
    tokens: list[int]
    """Number of tokens of each row's text that the model read, including special tokens."""
    truncated: list[bool]
    unknown: list[float] = []
    """Share of each row's tokens that the model's vocabulary lacks, from 0 to 1; 1 for a text without a token.

    The share excludes prompt and special tokens. All wholly unknown texts have the same vector. The list is empty in
    the reply of an embedder that is older than the field.
    """
    passages: list[Passage] | msgspec.UnsetType = msgspec.UNSET
    """With ``chunking``, the passage of each row: by text, and by position in it. Every text has at least one. Between
    two passages lies nothing but white space."""


class PackedEmbedReply(msgspec.Struct, frozen=True):
    """The reply in MessagePack: the same fields, with ``embeddings`` as little-endian float32 ``(n, dim)``."""

    embeddings: bytes
    dim: int
    model: str
    fingerprint: str
    tokens: list[int]
    truncated: list[bool]
    unknown: list[float] = []
    passages: list[Passage] | msgspec.UnsetType = msgspec.UNSET


class ReadyReply(msgspec.Struct, frozen=True):
    """``GET /readyz`` while the embedder is ready, always in JSON: the model that it serves."""

    model: str
    fingerprint: str
    """As in ``EmbedReply``."""
    dim: int
    max_seq_length: int
    """Number of tokens, including special tokens, that the model reads of a text."""
    precision: str
    """``fp32`` or ``int8``."""
    status: str = "ready"


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


class ReceivedReadyReply(msgspec.Struct, frozen=True):
    """The reader's view of ``ReadyReply``, with its limits; an embedder of another release may leave fields out."""

    model: _Name | None = None
    fingerprint: _Name | None = None
    dim: Annotated[int, msgspec.Meta(ge=1, le=MAX_DIM)] | None = None
    max_seq_length: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] | None = None
    precision: _Name | None = None


def split_seconds(seconds: float, chars: int) -> float:
    """Return the time limit of a request with ``chunking``: a single long text may take the model half a minute.

    Args:
        seconds: time limit of a request without ``chunking``. It holds for each ``CHARS_IN_TIMEOUT`` characters.
        chars: number of characters in all texts.
    """
    return max(seconds, min(seconds * (1 + chars / CHARS_IN_TIMEOUT), MAX_SPLIT_SECONDS))
