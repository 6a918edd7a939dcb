"""The part of the API of Text Embeddings Inference (TEI) that embeds: ``POST /embed``, ``GET /info``."""

from typing import Literal

import msgspec

TeiErrorType = Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]


class TeiEmbedRequest(msgspec.Struct, frozen=True):
    """``POST /embed``; the reply is a list of vectors. Unknown fields are ignored."""

    inputs: str | list[str]
    """One text, or 1 to 2,048 texts."""
    normalize: bool | None = None
    """Only true, which is the default: the model's vectors always have unit length."""
    truncate: bool | None = None
    """Cut a text at the model's limit; without it, a longer text is refused."""
    truncation_direction: str | None = None
    """Only ``right``, which is the default."""
    prompt_name: str | None = None
    """Only null."""
    dimensions: int | None = None
    """As in OpenAI's API."""


class TeiInfo(msgspec.Struct, frozen=True):
    """``GET /info``; null for what the embedders did not tell."""

    model_id: str
    """Name of the model; empty if the embedders did not say."""
    model_sha: str
    """The model's fingerprint."""
    model_dtype: str | None
    """Type of the model's numbers; null if the embedders did not say."""
    max_input_length: int | None
    """Tokens that the model reads of a text."""
    max_client_batch_size: int
    """Maximum number of texts of a request."""
    version: str
    """Version of the gateway."""
    auto_truncate: bool = False
    """Always false: a longer text is refused unless the request has ``truncate``."""


class TeiError(msgspec.Struct, frozen=True):
    """Every error of these routes."""

    error: str
    """Text for a person: it names the field and the limit."""
    error_type: TeiErrorType
    """Family of the error: ``Validation``, ``Overloaded``, ``Unhealthy`` or ``Backend``."""
