"""Results that differ from the contract's messages: metadata is a dict, and a newer gateway's words are accepted."""

from typing import Any

import msgspec

from tandem_contract.client_api import (
    Highlights,
    HitExplanation,
    HitPassage,
    HitScores,
    SearchExplanation,
)


class Document(msgspec.Struct, frozen=True):
    """A stored document; the fields are those of ``tandem_contract.client_api.StoredDocument``."""

    id: str
    text: str
    metadata: dict[str, Any]
    collection: str
    embedded: bool
    """False while its newest version waits for embedding."""
    truncated: bool | None = None
    """Whether the model read only a part of it; None while it waits."""
    unknown: float | None = None
    """Share of its tokens that the model does not know, from 0 to 1; None while it waits."""
    source: str | None = None
    hash: str | None = None


class Hit(msgspec.Struct, frozen=True):
    """A result of a search; ``tandem_contract.client_api.SearchHit`` explains the fields.

    ``text`` is empty if the search leaves it out, and ``metadata`` too. ``highlights``, ``vector`` and ``explain`` are
    None unless the search asks for them.
    """

    id: str
    score: float
    text: str = ""
    metadata: dict[str, Any] = {}
    scores: HitScores | None = None
    passage: HitPassage | None = None
    highlights: Highlights | None = None
    vector: list[float] | None = None
    explain: HitExplanation | None = None


class SearchResult(msgspec.Struct, frozen=True):
    """The reply to a search; ``tandem_contract.client_api.SearchReply`` explains the fields."""

    results: list[Hit]
    took_ms: float
    mode: str = "dense"
    """The search that answered: ``hybrid``, ``dense`` or ``lexical``."""
    degraded: bool = False
    """Whether ``auto`` answered by one search alone."""
    query_truncated: bool = False
    warnings: list[str] = []
    reranked: bool | None = None
    """None unless the search asks for a reranking."""
    explain: SearchExplanation | None = None


class SearchResults(msgspec.Struct, frozen=True):
    """The replies to several searches, in the order of the request."""

    replies: list[SearchResult]
    took_ms: float


class FoundDocuments(msgspec.Struct, frozen=True):
    """The documents with the ids asked for, in that order, and the ids that no document has."""

    documents: list[Document]
    missing: list[str]


class DocumentPage(msgspec.Struct, frozen=True):
    """A page of documents; it may have few and not be the last. ``next_cursor`` is None on the last."""

    documents: list[Document]
    next_cursor: str | None = None


class RerankedDocument(msgspec.Struct, frozen=True):
    """A document's position in the request, and its score from 0 to 1."""

    index: int
    relevance_score: float


class RerankResult(msgspec.Struct, frozen=True):
    """Documents by descending relevance."""

    results: list[RerankedDocument]
    model: str | None = None


class EmbeddingRow(msgspec.Struct, frozen=True):
    """The vector of one text, of unit length."""

    index: int
    embedding: list[float]


class EmbeddingResult(msgspec.Struct, frozen=True):
    """The vectors of texts, in their order."""

    data: list[EmbeddingRow]
    model: str = ""
