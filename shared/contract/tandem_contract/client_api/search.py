"""Search: requests, replies and their explanation."""

from typing import Literal

import msgspec

from tandem_contract.client_api.common import DEFAULT_COLLECTION, Filter, Metadata

DEFAULT_TOP_K = 5

SearchMode = Literal["auto", "hybrid", "dense", "lexical"]
"""``dense``: vector search. ``lexical``: keyword search. ``hybrid``: both, fused; it fails if one of them cannot
answer. ``auto``: hybrid, or one of the two if the other cannot answer."""

AnsweredBy = Literal["hybrid", "dense", "lexical"]

FusionMethod = Literal["relative", "rrf", "dbsf"]
"""How hybrid search makes one ranking of two. ``relative``: the scores of each ranking from 0 to 1. ``rrf``: reciprocal
rank fusion. ``dbsf``: distribution-based score fusion."""

Consistency = Literal["strong", "session", "bounded"]
"""How new the state of the store must be that answers a search, if several gateways share the store. ``strong``: it has
all that any of them has acknowledged. ``session``: it has the position of the header ``x-tandem-position``.
``bounded``: it is at most a second old."""

HitField = Literal["text", "metadata", "passage", "vector"]
"""A part of a hit that a search may ask for or leave out. A hit has all of them but ``vector`` unless it is asked."""

SearchWarning = Literal["unknown_tokens", "only_exclusions", "group_limit", "not_reranked", "rerank_truncated"]
"""``unknown_tokens``: the model does not know a part of the query. If that is the larger part, ``auto`` runs a keyword
search. ``only_exclusions``: the query says only what to leave out (``-word``), so that nothing can match.
``group_limit``: a search with ``group_by`` looked at its maximum number of documents, so there may be more groups.
``not_reranked``: the reranker could not answer in time, so the order is the search's own. ``rerank_truncated``: the
reranker's model read only the beginning of a text."""

Highlights = list[tuple[int, int]]
"""Start and end of each matched word."""


class FusionWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the two rankings, from 0 to 1000; only their ratio matters, and one has to be above 0."""

    dense: float
    """Weight of vector search, from 0 to 1000."""
    lexical: float
    """Weight of keyword search, from 0 to 1000."""


class FusionInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How hybrid search fuses its two rankings."""

    method: FusionMethod = "relative"
    """``relative`` adds the scores of each ranking, scaled to 0 to 1; ``rrf`` is reciprocal rank fusion; ``dbsf`` is
    distribution-based score fusion."""
    weights: FusionWeights | None = None
    """Without weights, ``relative`` takes 0.4 and 0.6; the others weight both rankings alike."""
    k: int | msgspec.UnsetType = msgspec.UNSET
    """Constant of ``rrf``, from 1 to 1000: the larger, the less the first ranks stand out; 60 if it is missing."""


class RerankInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to rerank a search."""

    top_n: int
    """Number of the search's best documents that are reranked; the others follow in their order."""
    model: str | None = None
    """Name of a model of the reranker; null for the one that serves."""


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/search``."""

    query: str
    """Text to search for. Except in the mode ``dense``, quotation marks, ``-word`` and ``word*`` are syntax."""
    top_k: int = DEFAULT_TOP_K
    """Maximum number of hits."""
    collection: str = DEFAULT_COLLECTION
    """Name of the collection to search."""
    mode: SearchMode = "auto"
    """``dense``: vector search. ``lexical``: keyword search. ``hybrid``: both, fused; it fails if one cannot answer.
    ``auto``: hybrid, or one of the two if the other cannot answer."""
    fusion: FusionMethod | FusionInput | None = None
    """Only with the modes ``hybrid`` and ``auto``."""
    offset: int = 0
    """Number of hits to skip: the hits of a search are the first ``top_k`` after these."""
    min_score: float | None = None
    """Lowest cosine similarity of a hit, from -1 to 1; not with the mode ``lexical``."""
    filter: Filter | None = None
    """Conditions on the metadata of the hits."""
    highlight: bool = False
    """Whether each hit tells where the words of the query are; see ``SearchHit.highlights``."""
    include: tuple[HitField, ...] = ()
    """Parts of a hit that the reply has besides the usual ones: ``vector``."""
    exclude: tuple[HitField, ...] = ()
    """Parts of a hit that the reply leaves out."""
    explain: bool = False
    """Whether the reply tells how the search came to it."""
    diversity: float = 0.0
    """From 0 to 1: how much the hits are to differ from each other. 0 leaves them in the order of their scores."""
    group_by: str | None = None
    """A metadata field; the hits are the best of each of its values. A document without it is always a hit."""
    rerank: RerankInput | None = None
    """Whether a reranker orders the best documents."""
    consistency: Consistency = "strong"
    """What a search finds if several gateways share the store. ``strong``: all that was acknowledged before it.
    ``session``: all up to the header ``x-tandem-position``. ``bounded``: all that was acknowledged a second before."""


class HitScores(msgspec.Struct, frozen=True):
    """The scores that vector search and keyword search gave a document; null if one did not find it."""

    dense: float | None
    """Cosine similarity of query and document."""
    lexical: float | None
    """BM25 score."""
    rerank: float | msgspec.UnsetType | None = msgspec.UNSET
    """The reranker's score, from 0 to 1; null if it did not get the document. Absent unless the search asks for it."""


class HitPassage(msgspec.Struct, frozen=True):
    """The passage of a document that matches a search best."""

    text: str
    """The passage's text."""
    start: int
    """Offset of its first character in the document's text, in code points."""
    end: int
    """Offset after its last character."""
    index: int
    """Its position among the document's passages, from 0."""
    highlights: Highlights | msgspec.UnsetType = msgspec.UNSET
    """As in ``SearchHit``, with offsets in the passage's text."""
    heading: str | msgspec.UnsetType = msgspec.UNSET
    """The heading that the passage is under, at most 200 characters. Absent unless the document is Markdown and has one
    before the passage."""


class HitPlace(msgspec.Struct, frozen=True):
    """A hit's place in the ranking of one search."""

    rank: int
    """From 1."""
    score: float
    """Cosine similarity or BM25 score."""
    part: float | None
    """What the hit's fused score has of this ranking; null without fusion."""


class HitExplanation(msgspec.Struct, frozen=True):
    """A hit's places in both rankings; null for a search that did not find it."""

    dense: HitPlace | None
    """Place in the ranking of vector search; null if it did not find the document."""
    lexical: HitPlace | None
    """Place in the ranking of keyword search; null if it did not find the document."""


class StageTimes(msgspec.Struct, frozen=True):
    """Milliseconds of each stage; null for a stage that did not run. Vector search and keyword search overlap."""

    filter: float | None = None
    """Finding the documents that match the filter."""
    queue: float | None = None
    """Waiting for a call to the embedder."""
    embed: float | None = None
    """That call."""
    index: float | None = None
    """Vector index."""
    words: float | None = None
    """Keyword index."""
    fetch: float | None = None
    """Reading the documents of the hits."""
    rerank: float | msgspec.UnsetType | None = msgspec.UNSET
    """Reading the texts for the reranker, and its scores. Absent unless the search asks for it."""


class CandidateCounts(msgspec.Struct, frozen=True):
    """Numbers of documents; null for a stage that did not run."""

    filter: int | None
    """That match the filter."""
    dense: int | None
    """That vector search found."""
    lexical: int | None
    """That keyword search found."""
    rerank: int | msgspec.UnsetType = msgspec.UNSET
    """That were to be reranked. Absent unless the search asks for it."""


class SearchExplanation(msgspec.Struct, frozen=True):
    """How a search came to its reply."""

    stages_ms: StageTimes
    """Milliseconds of each stage."""
    candidates: CandidateCounts
    """Number of documents that each stage found."""
    attempts: int
    """More than 1 if the store changed during the search, which then began again; the times are of all attempts."""


class SearchHit(msgspec.Struct, frozen=True):
    """One result.

    ``score`` is the cosine similarity of query and document in vector search, the BM25 score in keyword search, and a
    number from 0 to 1 in hybrid search. In a search that was reranked it is the reranker's score, from 0 to 1, and 0
    for the documents after the reranked ones.
    """

    id: str
    """The document's id."""
    score: float
    """Cosine similarity in vector search, BM25 score in keyword search, 0 to 1 in hybrid search, and the reranker's
    score from 0 to 1 after reranking."""
    text: str | msgspec.UnsetType = msgspec.UNSET
    """The document's text; absent if the search excludes it."""
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The metadata as JSON, unchanged from the store."""
    scores: HitScores | None = None
    """Scores of vector search, keyword search and the reranker."""
    passage: HitPassage | msgspec.UnsetType | None = None
    """Best passage of the document; null if its text is embedded as a whole. Absent if the search excludes it."""
    highlights: Highlights | msgspec.UnsetType = msgspec.UNSET
    """Start and end of each matched word in ``text``, in code points, the end excluded, ascending; at most 100. Absent
    unless the search asks for it."""
    vector: list[float] | msgspec.UnsetType | None = msgspec.UNSET
    """The vector of the passage that matches best, of unit length; null if the document has none yet."""
    explain: HitExplanation | msgspec.UnsetType = msgspec.UNSET
    """The hit's places in both rankings. Absent unless the search asks for it."""


class SearchReply(msgspec.Struct, frozen=True):
    """Hits by descending score, and the milliseconds that the gateway took."""

    results: list[SearchHit]
    """Hits by descending score."""
    took_ms: float
    """Milliseconds that the gateway took."""
    mode: AnsweredBy = "dense"
    """The search that found the hits, and so the meaning of their scores."""
    degraded: bool = False
    """True if ``auto`` answered by one search alone, because the other could not answer. ``mode`` names it."""
    query_truncated: bool = False
    """True if the query is longer than the model's limit: the search ignored the text after the limit."""
    warnings: list[SearchWarning] = []
    """What may be unexpected in the hits, such as ``unknown_tokens``: the model does not know a part of the query."""
    reranked: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether the reranker ordered the best documents. Absent unless the search asks for it."""
    explain: SearchExplanation | msgspec.UnsetType = msgspec.UNSET
    """How the search came to the reply. Absent unless the search asks for it."""


class SearchBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/search/batch``."""

    searches: list[SearchRequest]
    """The searches; each has its own collection and settings."""


class SearchBatchReply(msgspec.Struct, frozen=True):
    """The reply to each search, in order, and the milliseconds that the gateway took for all of them."""

    replies: list[SearchReply]
    """One reply for each search, in the order of the request."""
    took_ms: float
    """Milliseconds that the gateway took for all searches."""


class SimilarRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/search/similar``; it takes either ``document_id`` or ``vector``. The reply is a ``SearchReply``."""

    document_id: str | int | None = None
    """The hits are the documents nearest to this one, without itself. The first passage of a text stands for it. A
    number stands for its text."""
    vector: list[float] | None = None
    """The hits are the documents nearest to this vector of the collection's dimension; its length does not matter."""
    top_k: int = DEFAULT_TOP_K
    """Maximum number of hits."""
    collection: str = DEFAULT_COLLECTION
    """Name of the collection to search."""
    offset: int = 0
    """Number of hits to skip."""
    min_score: float | None = None
    """Lowest cosine similarity of a hit, from -1 to 1; null for no limit."""
    filter: Filter | None = None
    """Conditions on the metadata of the hits; null for none."""
    include: tuple[HitField, ...] = ()
    """Parts of a hit that the reply has besides the usual ones: ``vector``."""
    exclude: tuple[HitField, ...] = ()
    """Parts of a hit that the reply leaves out."""
    explain: bool = False
    """Whether the reply tells how the search came to it."""
    diversity: float = 0.0
    """From 0 to 1: how much the hits are to differ from each other. 0 leaves them in the order of their scores."""
    group_by: str | None = None
    """As in ``SearchRequest``."""
    consistency: Consistency = "strong"
    """As in ``SearchRequest``."""


class ReceivedSearchHit(msgspec.Struct, frozen=True):
    """The reader's view of ``SearchHit``."""

    id: str
    score: float
    text: str = ""
    metadata: Metadata = {}
    scores: HitScores | None = None
    passage: HitPassage | None = None
    highlights: Highlights | msgspec.UnsetType = msgspec.UNSET
    """Start and end of each matched word in ``text``, in code points, the end excluded, ascending; at most 100. Absent
    unless the search asks for it."""
    vector: list[float] | msgspec.UnsetType | None = msgspec.UNSET


class ReceivedSearchReply(msgspec.Struct, frozen=True):
    """The reader's view of ``SearchReply``."""

    results: list[ReceivedSearchHit]
    took_ms: float
    mode: str = "dense"
    degraded: bool = False
    query_truncated: bool = False
    warnings: list[str] = []
    reranked: bool | msgspec.UnsetType = msgspec.UNSET
