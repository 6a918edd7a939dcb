"""``POST /embed``: texts in, L2-normalised vectors out.

JSON is for anyone, MessagePack for the gateway; Content-Type and Accept choose. In MessagePack ``embeddings`` is
one ``bin`` of little-endian float32, row-major ``(n, dim)``: a fifth of JSON's bytes, and no float is parsed.
"""

from typing import Final, Literal

import msgspec

PATH = "/embed"

MAX_DIM: Final = 8192
"""Numbers that a vector may have; a reader may refuse an answer that is larger than so many allow."""

MAX_NAME_CHARS: Final = 128
"""Characters that the name of a model or a fingerprint may have."""

Kind = Literal["document", "query"]
Priority = Literal["interactive", "bulk"]


class EmbedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts to embed; ``n`` is their number."""

    texts: list[str]
    kind: Kind = "document"
    """Selects the model's prompt prefix, where it has one."""
    truncate: bool = True
    """Cut a text at the model's limit and say so; if false, a longer text is refused with 422."""
    priority: Priority = "interactive"
    """Lane of the embedder's queue: interactive goes before bulk."""


class EmbedReply(msgspec.Struct, frozen=True):
    """The reply in JSON."""

    embeddings: list[list[float]]
    """``n`` rows of ``dim`` floats, each of unit length."""
    dim: int
    model: str
    fingerprint: str
    """Identifies what defines the vectors; vectors of different fingerprints must not be compared."""
    tokens: list[int]
    """Tokens of each text that the model saw, special tokens included."""
    truncated: list[bool]
    unknown: list[float] = []
    """Share of each text's tokens that the model's vocabulary lacks, from 0 to 1; 1 for a text without a token.

    Prompt and special tokens are not counted. Texts that are wholly unknown all have the same vector. Empty in the
    reply of an embedder that is older than the field.
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
