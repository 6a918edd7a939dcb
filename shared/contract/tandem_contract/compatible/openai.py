"""OpenAI's embeddings API: ``POST /v1/embeddings`` and ``GET /v1/models``."""

from typing import Literal

import msgspec

EncodingFormat = Literal["float", "base64"]
"""``base64``: the little-endian float32 numbers of a vector, in base64."""

Truncation = Literal["cut", "error"]
InputType = Literal["query", "document"]


class EmbeddingsRequest(msgspec.Struct, frozen=True):
    """``POST /v1/embeddings``; unknown fields, such as ``user``, are ignored."""

    input: str | list[str]
    """One text, or 1 to 2,048 texts."""
    model: str | None = None
    """Name of a model. Any name will do, unless TANDEM_STRICT_MODEL is on."""
    encoding_format: EncodingFormat | None = None
    """``float`` if it is missing or null."""
    dimensions: int | None = None
    """Number of numbers in a vector; only for a model whose vectors may be cut."""
    truncation: Truncation = "cut"
    """What to do with a text that is longer than the model's limit: cut it and say so, or refuse the request."""
    input_type: InputType | None = None
    """Selects the model's prompt, if it has one; ``query`` if it is missing or null."""


class Embedding(msgspec.Struct, frozen=True):
    """The vector of one text."""

    index: int
    """Its place in ``input``."""
    embedding: list[float] | str
    """Of unit length."""
    object: Literal["embedding"] = "embedding"
    """Always ``embedding``."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens that the model read, with special tokens."""

    prompt_tokens: int
    """Tokens that the model read, with special tokens."""
    total_tokens: int
    """The same number."""


class EmbeddingsReply(msgspec.Struct, frozen=True):
    """The vectors, in the order of ``input``."""

    data: list[Embedding]
    """The vectors, in the order of ``input``."""
    model: str
    """The model that made the vectors, whatever name the request has."""
    usage: Usage
    """Tokens that the model read."""
    object: Literal["list"] = "list"
    """Always ``list``."""


class Model(msgspec.Struct, frozen=True):
    """A model, or another name of it."""

    id: str
    """Name of the model, or another name of it."""
    created: int = 0
    """Always 0: the gateway does not know when the model was made."""
    object: Literal["model"] = "model"
    """Always ``model``."""
    owned_by: str = "tandem"
    """Always ``tandem``."""


class ModelList(msgspec.Struct, frozen=True):
    """``GET /v1/models``."""

    data: list[Model]
    """The model under each of its names."""
    object: Literal["list"] = "list"
    """Always ``list``."""
