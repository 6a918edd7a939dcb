"""``POST /embed``: texts in, L2-normalised vectors out. ``GET /readyz``: which model makes them.

JSON is for any client, MessagePack for the gateway; Content-Type and Accept select the format. In MessagePack,
``embeddings`` is one ``bin`` of little-endian float32, row-major ``(n, dim)``. It takes a fifth of JSON's bytes, and
the reader parses no floats.
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

Kind = Literal["document", "query"]
Priority = Literal["interactive", "bulk"]


class EmbedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to embed; ``n`` is their number."""

    texts: list[str]
    kind: Kind = "document"
    """Selects the model's prompt prefix, if it has one."""
    truncate: bool = True
    """Cut a text at the model's limit and report it; if false, the embedder refuses a longer text with 422."""
    priority: Priority = "interactive"
    """Lane of the embedder's queue: interactive has precedence over bulk."""


class EmbedReply(msgspec.Struct, frozen=True):
    """The reply in JSON."""

    embeddings: list[list[float]]
    """``n`` rows of ``dim`` floats, each of unit length."""
    dim: int
    model: str
    fingerprint: str
    """Identifies everything that defines the vectors. Never compare vectors of different fingerprints."""
    tokens: list[int]
    """Number of tokens of each text that the model read, including special tokens."""
    truncated: list[bool]
    unknown: list[float] = []
    """Share of each text's tokens that the model's vocabulary lacks, from 0 to 1; 1 for a text without a token.

    The share excludes prompt and special tokens. All wholly unknown texts have the same vector. The list is empty in
    the reply of an embedder that is older than the field.
    """


class PackedEmbedReply(msgspec.Struct, frozen=True):
    """The reply in MessagePack: the same fields, with ``embeddings`` as little-endian float32 ``(n, dim)``."""

    embeddings: bytes
    dim: int
    model: str
    fingerprint: str
    tokens: list[int]
    truncated: list[bool]
    unknown: list[float] = []


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
