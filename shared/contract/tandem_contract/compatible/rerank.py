"""Reranking in the shapes of Cohere (v1 and v2), Jina and Text Embeddings Inference (TEI).

``POST /v1/rerank`` and ``POST /v2/rerank`` take a ``RerankRequest``; errors are a ``CohereError``. Jina's shape is that
of Cohere v1 with ``usage``. ``POST /rerank`` takes a ``TeiRerankRequest``; errors are a
``tei.TeiError``.
"""

import msgspec


class RerankDocument(msgspec.Struct, frozen=True):
    """A document as an object."""

    text: str
    """The document's text."""


class RerankRequest(msgspec.Struct, frozen=True):
    """``POST /v1/rerank`` and ``POST /v2/rerank``."""

    query: str
    """Text that the documents are compared with."""
    documents: list[str | RerankDocument]
    """Documents to rank, as texts or objects."""
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
    """The document; absent unless the request has ``return_documents``."""


class ApiVersion(msgspec.Struct, frozen=True):
    """The version of Cohere's API."""

    version: str
    """Version of the API."""


class RerankMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the reply says of itself; ``warnings`` names documents of which the model read only the beginning."""

    api_version: ApiVersion
    """The version of Cohere's API."""
    warnings: list[str] = []
    """Documents of which the model read only the beginning; absent if there are none."""


class RerankUsage(msgspec.Struct, frozen=True):
    """Number of tokens that the model read."""

    total_tokens: int
    """Number of tokens that the model read."""


class RerankReply(msgspec.Struct, frozen=True):
    """The documents by descending relevance; without ``usage`` if the number of tokens is not known."""

    id: str
    """The request's id."""
    results: list[RerankResult]
    """The documents by descending relevance."""
    meta: RerankMeta
    """Version of the API, and warnings."""
    model: str | None = None
    """Name of the model that ranked; null if it is not known."""
    usage: RerankUsage | msgspec.UnsetType = msgspec.UNSET
    """Tokens that the model read; absent if their number is not known."""


class CohereError(msgspec.Struct, frozen=True):
    """An error in Cohere's shape; ``code`` and ``param`` are those of ``ErrorReply``."""

    message: str
    """Text for a person: it names the field and the limit."""
    code: str
    """Stable name of the error, for programs."""
    param: str | None = None
    """Path of the field that is wrong; null if no field is."""


class TeiRerankRequest(msgspec.Struct, frozen=True):
    """``POST /rerank``."""

    query: str
    """Text that the others are compared with."""
    texts: list[str]
    """Texts to rank."""
    raw_scores: bool = False
    """Whether the scores are the model's own numbers instead of numbers from 0 to 1."""
    return_text: bool = False
    """Whether each result has its text."""


class TeiRank(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text's place in the ranking; the reply is a list of these by descending score."""

    index: int
    """Position of the text in the request, from 0."""
    score: float
    """From 0 to 1, or the model's own number with ``raw_scores``."""
    text: str | None = None
    """The text; absent unless the request has ``return_text``."""


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
