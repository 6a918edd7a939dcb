"""Reranking in the shapes of Cohere (v1 and v2), Jina and Text Embeddings Inference (TEI).

``POST /v1/rerank`` and ``POST /v2/rerank`` take a ``RerankRequest``; errors are a ``CohereError``. Jina's shape is that
of Cohere v1 with ``usage``. ``POST /rerank`` takes a ``TeiRerankRequest``; errors are a
``tei.TeiError``.
"""

import msgspec


class RerankDocument(msgspec.Struct, frozen=True):
    """A document as an object."""

    text: str


class RerankRequest(msgspec.Struct, frozen=True):
    """``POST /v1/rerank`` and ``POST /v2/rerank``."""

    query: str
    documents: list[str | RerankDocument]
    model: str | None = None
    """Name of the model; null or an empty text for the one that serves."""
    top_n: int | None = None
    """Maximum number of results; null for all documents."""
    return_documents: bool | None = None
    """Whether each result has its document."""


class RerankResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """A document's place in the ranking."""

    index: int
    """Its position in the request, from 0."""
    relevance_score: float
    """From 0 to 1; comparable within one request."""
    document: RerankDocument | None = None


class ApiVersion(msgspec.Struct, frozen=True):
    """The version of Cohere's API."""

    version: str


class RerankMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the reply says of itself; ``warnings`` names documents of which the model read only the beginning."""

    api_version: ApiVersion
    warnings: list[str] = []


class RerankUsage(msgspec.Struct, frozen=True):
    """Number of tokens that the model read."""

    total_tokens: int


class RerankReply(msgspec.Struct, frozen=True):
    """The documents by descending relevance; without ``usage`` if the number of tokens is not known."""

    id: str
    """The request's id."""
    results: list[RerankResult]
    meta: RerankMeta
    model: str | None = None
    usage: RerankUsage | msgspec.UnsetType = msgspec.UNSET


class CohereError(msgspec.Struct, frozen=True):
    """An error in Cohere's shape; ``code`` and ``param`` are those of ``ErrorReply``."""

    message: str
    code: str
    param: str | None = None


class TeiRerankRequest(msgspec.Struct, frozen=True):
    """``POST /rerank``."""

    query: str
    texts: list[str]
    raw_scores: bool = False
    """Whether the scores are the model's own numbers instead of numbers from 0 to 1."""
    return_text: bool = False


class TeiRank(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text's place in the ranking; the reply is a list of these by descending score."""

    index: int
    score: float
    text: str | None = None


class ReceivedTeiRank(msgspec.Struct, frozen=True):
    """The reader's view of ``TeiRank``."""

    index: int
    score: float


class ReceivedRerankResult(msgspec.Struct, frozen=True):
    """The reader's view of ``RerankResult``."""

    index: int
    relevance_score: float


class ReceivedRerankUsage(msgspec.Struct, frozen=True):
    """The reader's view of ``RerankUsage``."""

    total_tokens: int | None = None


class ReceivedRerankReply(msgspec.Struct, frozen=True):
    """The reader's view of ``RerankReply``."""

    results: list[ReceivedRerankResult]
    usage: ReceivedRerankUsage | None = None
